"""The mail templates of a Django project: the folder `mail_templates` of each of its apps."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Final

import django
from django.apps import apps

FOLDER: Final = "mail_templates"


def folders_of_project() -> list[Path]:
    """In the order of `INSTALLED_APPS`, of the project that `DJANGO_SETTINGS_MODULE` names."""
    django.setup()
    return list(folders_by_app().values())


def folders_by_app() -> dict[str, Path]:
    """The same of a project that is set up; apps without the folder are left out."""
    found = {app.name: Path(app.path, FOLDER) for app in apps.get_app_configs()}
    return {name: folder for name, folder in found.items() if folder.is_dir()}


def apps_of_doubles() -> dict[str, list[str]]:
    """Each file that several apps have, with these; that of the first is used."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for app, folder in folders_by_app().items():
        for path in folder.rglob("*"):
            if path.is_file():
                found[str(path.relative_to(folder))].append(app)
    return {file: having for file, having in sorted(found.items()) if len(having) > 1}
