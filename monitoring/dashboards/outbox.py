"""What waits, what goes out, and what was given up."""

from __future__ import annotations

from monitoring.dashboards.panel import Graph, Page, Stat

PAGE = Page(
    uid="postroom-outbox",
    title="Postroom: outbox and dead letters",
    rows={
        "Now": (
            Stat("Pending", 'max(outbox_queue_messages{status="pending"})'),
            Stat("In retry", 'max(outbox_queue_messages{status="retry"})'),
            Stat("Dead", 'max(outbox_queue_messages{status="dead"})', red_from=1),
            Stat("Dead emails", 'max(email_dlq_messages{status="dead"})', red_from=1),
            Stat("Wait for a person", "sum(max by (channel) (postroom_deliveries_parked))"),
            Stat("Endpoints disabled", "max(postroom_endpoints_disabled)", red_from=1),
            Stat("Channels paused", "sum(max by (channel) (postroom_channel_paused))", red_from=1),
            Stat("Receivers shut off", "max(postroom_destination_circuits_open)", red_from=1),
        ),
        "Depth": (
            Graph(
                "Pending by channel",
                {"{{channel}}": 'max by (channel) (postroom_deliveries{status="pending"})'},
            ),
            Graph(
                "In retry by channel",
                {
                    "{{channel}}": 'max by (channel) (postroom_deliveries{status="retry"})',
                    "{{channel}}, failed 3 times": "max by (channel) (postroom_deliveries_failing) > 0",
                },
            ),
            Graph(
                "How late the oldest due one is",
                {"{{channel}}": "max by (channel) (postroom_oldest_due_age_seconds)"},
                unit="s",
            ),
            Graph(
                "How late the oldest due one of an urgency is",
                {
                    "{{channel}}, {{urgency}}": (
                        "max by (channel, urgency) (postroom_urgency_oldest_due_age_seconds) > 0"
                    )
                },
                unit="s",
            ),
            Graph(
                "Limits that hold something back",
                {"{{channel}}": 'max by (channel) (postroom_limits{state="reached"}) > 0'},
            ),
            Graph(
                "Too old to be sent",
                {"{{channel}}": "max by (channel) (rate(postroom_deliveries_expired_total[5m])) > 0"},
                unit="ops",
            ),
            Graph(
                "Dead letters by channel and cause",
                {"{{channel}}, {{cause}}": "max by (channel, cause) (postroom_dead_letters) > 0"},
            ),
        ),
        "Outcomes": (
            Graph(
                "Attempts by outcome",
                {
                    "{{channel}}, {{outcome}}": (
                        "max by (channel, outcome) (rate(postroom_attempts_total[5m])) > 0"
                    )
                },
                unit="ops",
                span=24,
            ),
            Graph(
                "Emails by outcome",
                {"{{status}}": "max by (status) (rate(email_adapter_outcomes_total[5m]))"},
                unit="ops",
            ),
            Graph("Emails not sent", {"{{status}}": "max by (status) (email_dlq_messages)"}),
        ),
        "Ledger": (
            Graph("Published", {"a second": "max(rate(postroom_ledger_published_total[5m]))"}, unit="ops"),
            Graph(
                "Ended",
                {"{{end}}": "sum by (end) (max by (channel, end) (rate(postroom_ledger_ended_total[5m])))"},
                unit="ops",
            ),
            Graph("Drift", {"deliveries": "max(abs(postroom_ledger_drift))"}, "Not 0: LedgerDrift."),
            Graph(
                "Since the last check", {"age": "time() - max(postroom_ledger_checked_timestamp)"}, unit="s"
            ),
        ),
    },
)
