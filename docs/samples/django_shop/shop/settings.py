"""The settings of the shop: the database is the one that Postroom is in."""

import os
from urllib.parse import unquote, urlsplit

_at = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _at.path.strip("/"),
        "USER": _at.username,
        "PASSWORD": unquote(_at.password or ""),
        "HOST": _at.hostname,
        "PORT": _at.port,
    }
}
INSTALLED_APPS = ["postroom.contrib.django", "shop"]
ROOT_URLCONF = "shop.urls"
SECRET_KEY = "for a tutorial only"
DEBUG = True
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
