"""The link from Django's admin to the console, in the pages of a real admin."""

from __future__ import annotations

import html
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.processes.commands import environment

PROJECT: Final = """
import sys
import django
from django.conf import settings

APPS = ["admin", "auth", "contenttypes", "sessions", "messages"]
MIDDLEWARE = ["sessions.middleware.SessionMiddleware", "auth.middleware.AuthenticationMiddleware",
              "messages.middleware.MessageMiddleware"]
settings.configure(
    SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["testserver"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[*(f"django.contrib.{each}" for each in APPS), "postroom.contrib.django"],
    MIDDLEWARE=[f"django.contrib.{each}" for each in MIDDLEWARE],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {
        "context_processors": [f"django.{each}" for each in (
            "template.context_processors.request", "contrib.auth.context_processors.auth",
            "contrib.messages.context_processors.messages")]}}],
    **({"POSTROOM_CONSOLE_URL": sys.argv[1]} if sys.argv[1:] else {}),
)
django.setup()

from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from django.urls import path

from postroom.contrib.django.admin import console_link

messages = console_link(lambda group: f"group:{group.name}")
admin.site.unregister(Group)

@admin.register(Group)
class GroupAdmin(admin.ModelAdmin):
    list_display = ["name", messages]
    readonly_fields = [messages]

urlpatterns = [path("admin/", admin.site.urls)]
call_command("check")
call_command("migrate", verbosity=0)
client = Client()
client.force_login(User.objects.create_superuser("ada"))
group = Group.objects.create(name='a&b "<i>')
for page in ("", f"{group.pk}/change/", "add/"):
    print("page:", client.get(f"/admin/auth/group/{page}").content.decode())
"""


def pages(folder: Path, *arguments: str) -> list[str]:
    """The list, the object and a new one, as an administrator sees them."""
    (folder / "project.py").write_text(PROJECT)
    done = subprocess.run(
        [sys.executable, "project.py", *arguments], cwd=folder, env=environment(folder, {}),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split("page:")[1:]


def test_an_object_leads_to_its_messages_in_the_console(tmp_path: Path) -> None:
    link = '<a href="https://postroom.example/console/messages?q=group%3Aa%26b+%22%3Ci%3E">Messages</a>'
    listed, changed, added = pages(tmp_path, "https://postroom.example/console/")
    assert link in html.unescape(listed.replace("&quot;", '"'))
    assert link in html.unescape(changed)
    assert "/console/messages" not in added


def test_without_an_address_there_is_no_link(tmp_path: Path) -> None:
    listed, *_ = pages(tmp_path)
    assert "field-postroom" in listed
    assert "/messages?" not in listed
