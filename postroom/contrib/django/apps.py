"""The Django app: `INSTALLED_APPS = [..., "postroom.contrib.django"]`."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register


class PostroomConfig(AppConfig):  # type: ignore[misc]  # Django has no types of its own
    name = "postroom.contrib.django"
    label = "postroom"
    verbose_name = "Postroom"

    def ready(self) -> None:
        from postroom.contrib.django.checks import check_databases, check_mail_templates

        register(check_databases, Tags.database)
        register(check_mail_templates, Tags.templates)
