"""The Celery application."""

from celery import Celery

from workers.settings import WorkerSettings


def make_app(settings: WorkerSettings) -> Celery:
    """Create the application without tasks; the worker registers its only one.

    ``task_acks_late`` stays off: the job row, not the message, remembers the job (see
    docs/decisions/0002).
    """
    app = Celery("sonogate", broker=settings.redis_url, set_as_current=False)
    app.conf.update(
        task_default_queue="sonogate",  # Redis may be shared with other applications
        task_ignore_result=True,  # results are database rows
        worker_prefetch_multiplier=1,  # leave other messages to workers with a free slot
        worker_enable_remote_control=False,  # polls Redis, and jobs are controlled by their rows
        worker_send_task_events=False,
        worker_redirect_stdouts=False,  # output of libraries is not a log line
        # The default of Celery 6. Set here to silence a warning about late acknowledgment.
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,  # Redis may start after the worker
        broker_connection_max_retries=None,  # retry forever: no job is lost meanwhile
        # One retry over a new connection: the pooled one is stale after a restart of Redis.
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0},
        broker_transport_options={
            # Redis answers in milliseconds; the sweep must detect an outage soon.
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "socket_keepalive": True,
        },
    )
    return app
