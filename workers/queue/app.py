"""The Celery application. Each setting that is not a default says why."""

from celery import Celery

from workers.settings import WorkerSettings


def make_app(settings: WorkerSettings) -> Celery:
    """An application without tasks; the worker adds its one (docs/decisions/0002).

    Left at their defaults on purpose: messages are acknowledged before the job runs
    (``task_acks_late``), because the row, not the message, remembers the job.
    """
    app = Celery("sonogate", broker=settings.redis_url, set_as_current=False)
    app.conf.update(
        task_default_queue="sonogate",  # Redis may be shared with others
        task_ignore_result=True,  # results are rows
        worker_prefetch_multiplier=1,  # a message that waits here could be taken by a free worker
        worker_enable_remote_control=False,  # jobs are steered by their rows; it polls Redis
        worker_send_task_events=False,  # nobody listens
        worker_redirect_stdouts=False,  # what prints is not a log line
        # Celery 6's default, set to quiet a long warning: it concerns late acknowledgement only.
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,  # a Redis that comes up later is waited for
        broker_connection_max_retries=None,  # for as long as it takes: nothing is lost meanwhile
        # One more try at once, over a new connection: the pooled one is stale after a restart.
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0},
        broker_transport_options={
            # The sweep must notice soon that Redis is gone; Redis answers in milliseconds.
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "socket_keepalive": True,
        },
    )
    return app
