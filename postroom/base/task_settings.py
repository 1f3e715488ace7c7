"""Settings of tasks."""

from __future__ import annotations

from pydantic import BaseModel, Field


class TaskSettings(BaseModel):
    """Tasks: functions of your own that the runner calls."""

    concurrency: int = Field(default=100, ge=1, le=10_000)
    """Async tasks under way at once, per process."""
    processes: int | None = Field(default=None, ge=1, le=256)
    """Processes for tasks that are not async, beside each runner. Unset: as many as cores."""
    memory_mb: int = Field(default=1_024, ge=64, le=1_048_576)
    """Memory of each of these processes; a task that wants more fails."""
    schedules: bool = True
    """Whether runners publish what `@cron` asks for. `false` for a copy of the system that must not."""
    age_max_days: float = Field(default=14.0, gt=0, le=3_650)
    """A task that has waited for so long is not run any more: it dies with the cause `expired`."""
