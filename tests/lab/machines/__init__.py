"""The whole service with its nats-server, as processes, on machines that fail.

disk_server      a block device that remembers what is written and flushed: recorded_disk mounts a real file
                 system on it, crash_images makes of it what is there after the power went
starter          starts services in a moment; service_process is one of them, to be frozen, killed, ended
applications     several clients, which note whatever they are told
judging          what must hold of a service afterwards, by what they were told
experiments      all of them, each a module:
block_cuts       the power is cut, on ext4 and on XFS
broken_links     links are cut, held, halved (links has the one that fails); two services on one history
clocks           the clock jumps, there and back
limits           few descriptors, little memory
soak             a steady load for long: nothing grows
disks            full, without inodes, slow, silent, failing disks
brokers          a nats-server loses what it had, or has again what it had before
strikes          whatever runs is killed or frozen in the midst of what it does
"""
