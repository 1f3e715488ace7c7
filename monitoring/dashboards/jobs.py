"""The runner, its jobs, and Stripe's way in."""

from __future__ import annotations

from monitoring.dashboards.panel import Graph, Page, Stat

PAGE = Page(
    uid="postroom-jobs",
    title="Postroom: jobs and Stripe",
    rows={
        "Now": (
            Stat("Workers", "max(postroom_workers)", red_below=1),
            Stat(
                "Runner's heartbeat",
                'time() - max(job_last_heartbeat_timestamp{job="jobs-runner"})',
                unit="s",
                red_from=300,
            ),
            Stat(
                "Oldest success",
                'max(time() - max by (job) (job_last_success_timestamp{job!="jobs-runner"}))',
                "Above 15 minutes: JobStale.",
                unit="s",
                red_from=900,
            ),
            Stat("Stripe's breaker", 'max(circuit_state{circuit="stripe"})', red_from=0.5),
            Stat(
                "Dead Stripe events",
                'sum(max by (cause) (postroom_dead_letters{channel="stripe"}))',
                red_from=1,
            ),
            Stat("Partitions ahead, days", "min(postroom_attempt_partition_days)", red_below=3),
        ),
        "Jobs": (
            Graph(
                "Since the last success",
                {"{{job}}": "time() - max by (job) (job_last_success_timestamp)"},
                unit="s",
            ),
            Graph("Failures in a row", {"{{job}}": "max by (job) (postroom_job_consecutive_failures)"}),
            Graph(
                "Schedules, published up to",
                {"{{schedule}}": "max by (schedule) (postroom_schedule_behind_seconds)"},
                "Above 15 minutes: ScheduleStale.",
                unit="s",
            ),
        ),
        "Stripe": (
            Graph(
                "Events by outcome",
                {"{{outcome}}": "max by (outcome) (rate(stripe_webhook_events_total[5m]))"},
                unit="ops",
            ),
            Graph(
                "Share that ended as error, 10 minutes",
                {
                    "error": (
                        'max(increase(stripe_webhook_events_total{outcome="error"}[10m]))'
                        " / sum(max by (outcome) (increase(stripe_webhook_events_total[10m])))"
                    )
                },
                "Above 10 %: StripeWebhookErrors.",
                unit="percentunit",
            ),
            Graph(
                "Answers to Stripe",
                {
                    "{{status}}": (
                        'sum by (status) (rate(postroom_http_requests_total{route="/v1/stripe/webhook"}[5m]))'
                    )
                },
                unit="reqps",
            ),
            Graph(
                "Openings of the breaker",
                {"in 15 minutes": "max(increase(stripe_webhook_circuit_open_total[15m]))"},
            ),
        ),
        "Error budgets, share used at this moment": (
            Graph(
                "Stripe event to effect: failed attempts",
                {
                    "5 minutes": "postroom:stripe_effects_failed:ratio_rate5m",
                    "1 hour": "postroom:stripe_effects_failed:ratio_rate1h",
                    "6 hours": "postroom:stripe_effects_failed:ratio_rate6h",
                },
                unit="percentunit",
            ),
            Graph(
                "Webhook accepted: refused with 5xx",
                {
                    "5 minutes": "postroom:webhook_refused:ratio_rate5m",
                    "1 hour": "postroom:webhook_refused:ratio_rate1h",
                    "6 hours": "postroom:webhook_refused:ratio_rate6h",
                },
                unit="percentunit",
            ),
        ),
    },
)
