"""The pages about jobs, their queues, schedules and workers.

board      all of them, one job, many at once
enqueue    a form that enqueues a job
queues     their jobs, pausing, resuming and limiting them
schedules  their next and last runs, triggering, pausing and deleting them
workers    the workers, and the jobs that they run
"""
