"""The whole service with its nats-server, as processes, on machines that fail.

disk_server      a block device that records writes and flushes: recorded_disk mounts a real file system on
                 it, crash_images makes the states of the disk after a power cut
starter          starts services in a moment; service_process is one of them, to be frozen, killed, ended
applications     several clients, which note all their answers
judging          checks of a service afterwards, by these answers
experiments      the experiments, each a module:
block_cuts       the power is cut, on ext4 and on XFS
broken_links     links are cut, held, halved (links has the one that fails); two services on one history
clocks           the clock jumps, there and back
limits           few descriptors, little memory
soak             a steady load for long: nothing grows
disks            full, without inodes, slow, silent, failing disks
brokers          a nats-server loses what it had, or has again what it had before
strikes          the service or its nats-server is killed or frozen in the midst of an act
"""
