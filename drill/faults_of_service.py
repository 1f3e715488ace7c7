"""The database, the API, the runner, and Prometheus' view of them."""

from __future__ import annotations

from drill.scenario import Scenario, Scene, nothing

BLIND = frozenset(
    {"JobStale", "ScheduleStale", "MetricsAbsent", "StripeEffectsBudgetBurn", "WebhookAcceptanceBudgetBurn"}
)


async def stop_database(scene: Scene) -> None:
    await scene.installation.stop_database()


async def stop_api(scene: Scene) -> None:
    await scene.installation.stop("api")


async def freeze_runner(scene: Scene) -> None:
    scene.installation.freeze("runner")


async def rename_labels(scene: Scene) -> None:
    """The mistake that everybody makes once."""
    path = scene.watch.configuration
    path.write_text(path.read_text().replace("honor_labels: true", "honor_labels: false"))
    await scene.watch.reload()


SCENARIOS = (
    Scenario(
        name="watchdog",
        fault="none: it fires while all is well",
        alerts=("Watchdog",),
        break_it=nothing,
        quick=True,
    ),
    Scenario(
        name="database-stopped",
        fault="PostgreSQL is stopped",
        alerts=("ReadyzFailures", "WebhookAcceptanceBudgetBurn"),
        break_it=stop_database,
        also=BLIND,
        alone=True,
    ),
    Scenario(
        name="api-stopped",
        fault="the API is stopped",
        alerts=("PostroomDown",),
        break_it=stop_api,
        alone=True,
    ),
    Scenario(
        name="runner-frozen",
        fault="SIGSTOP to the runner",
        alerts=("JobsRunnerSilent", "DeliveriesLate"),
        break_it=freeze_runner,
        also=frozenset({"JobStale", "ScheduleStale", "StripeEffectsBudgetBurn"}),
        alone=True,
        quick=True,
    ),
    Scenario(
        name="labels-renamed",
        fault="honor_labels is lost from the scrape configuration",
        alerts=("MetricsAbsent",),
        break_it=rename_labels,
        alone=True,
    ),
)
