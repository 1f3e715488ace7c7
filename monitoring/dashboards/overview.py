"""Is everything well? What a person on call opens first."""

from __future__ import annotations

from monitoring.dashboards.panel import Graph, Page, Stat

PAGE = Page(
    uid="postroom-overview",
    title="Postroom: overview",
    rows={
        "Now": (
            Stat(
                "Ready",
                "min(postroom_ready)",
                "1 while every check of /readyz passes on every process.",
                red_below=1,
            ),
            Stat(
                "Runner's heartbeat",
                'time() - max(job_last_heartbeat_timestamp{job="jobs-runner"})',
                "Above 5 minutes: JobsRunnerSilent.",
                unit="s",
                red_from=300,
            ),
            Stat(
                "Dead letters",
                'max(outbox_queue_messages{status="dead"})',
                "Emails, webhooks, exports and calls to Stripe that were given up.",
                red_from=1,
            ),
            Stat(
                "Oldest due",
                "max(postroom_oldest_due_age_seconds)",
                "Above 5 minutes: DeliveriesLate.",
                unit="s",
                red_from=300,
            ),
            Stat("Ledger's drift", "max(abs(postroom_ledger_drift))", "Not 0: LedgerDrift.", red_from=1),
            Stat(
                "Open breakers",
                "count(max by (circuit) (circuit_state) > 0) or vector(0)",
                "Of stripe and email.",
                red_from=1,
            ),
        ),
        "Alerts and checks": (
            Graph(
                "Alerts that fire", {"{{alertname}}": 'count by (alertname) (ALERTS{alertstate="firing"})'}
            ),
            Graph("Checks of /readyz", {"{{check}}": "min by (check) (postroom_ready)"}),
        ),
        "Traffic": (
            Graph(
                "Requests by status",
                {"{{status}}": "sum by (status) (rate(postroom_http_requests_total[5m]))"},
                unit="reqps",
            ),
            Graph(
                "Time until the answer, 99th percentile",
                {
                    "{{route}}": (
                        "histogram_quantile(0.99, sum by (route, le) "
                        "(rate(postroom_http_request_seconds_bucket[5m])))"
                    )
                },
                unit="s",
            ),
            Graph(
                "Delivered by channel",
                {
                    "{{channel}}": (
                        'max by (channel) (rate(postroom_ledger_ended_total{end="delivered"}[5m]))'
                    )
                },
                unit="ops",
            ),
            Graph(
                "Breakers",
                {"{{circuit}}": "max by (circuit) (circuit_state)"},
                "0 closed, 0.5 half-open, 1 open.",
            ),
        ),
        "Room": (
            Graph(
                "Free on disk",
                {"{{volume}}": "min by (volume) (postroom_disk_free_ratio)"},
                "Below a tenth: DiskNearlyFull.",
                unit="percentunit",
            ),
            Graph("Database", {"size": "max(postroom_database_size_bytes)"}, unit="bytes"),
            Graph(
                "Days left",
                {
                    "token": "min(postroom_token_expiry_days) < 1000",
                    "{{certificate}}": "min by (certificate) (postroom_certificate_expiry_days)",
                },
                unit="d",
            ),
            Graph(
                "Longest transaction",
                {"open for": "max(postroom_longest_transaction_seconds)"},
                "Above 10 minutes: TransactionHeldLong.",
                unit="s",
            ),
        ),
    },
)
