"""From where on something is wrong: each number once, equal to the one in monitoring/prometheus/rules."""

from __future__ import annotations

from typing import Final

RUNNER_SILENT_S: Final = 300.0
JOB_STALE_S: Final = 900.0
SCHEDULE_STALE_S: Final = 900.0
LATE_S: Final = 300.0
TRANSACTION_OLD_S: Final = 600.0
TOKEN_DAYS_MIN: Final = 7.0
CERTIFICATE_DAYS_MIN: Final = 14.0
PARTITION_DAYS_MIN: Final = 3.0
DISK_FREE_MIN: Final = 0.10
STRIPE_BEHIND_S: Final = 86_400.0
STRIPE_SILENCE_RATIO: Final = 1.0
