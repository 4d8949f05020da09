"""All unfinished jobs, in memory.

indexes     all indexes of unfinished jobs, told of each change of a job
awaited_groups  the jobs that wait for groups, and the counts of these groups
lane        waiting jobs that are alike, in order: those that are due, and those to come
turns       the order of lanes whose keys take turns
by_type     the lanes of one type in one queue; limits hold some of them up
counts      what those limits count: jobs that run, attempts that began
permits     which jobs may be handed out in one claim
due         all waiting jobs, in the order in which workers get them
depth       how many jobs each queue has, and since when the oldest is due
dependents  the jobs that wait for other jobs
failures    counts of attempts that failed
seen_workers  the workers that have claimed jobs lately
throttles   platforms that answer no calls at present: jobs that draw on their limits are held up
unique      the jobs that have a unique key
"""
