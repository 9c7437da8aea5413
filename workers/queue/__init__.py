"""The job queue: Celery application, task runner, sweep, concurrency slots."""
