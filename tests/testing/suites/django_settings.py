import os
from urllib.parse import unquote, urlsplit

parts = urlsplit(os.environ["SERVER"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("NAME", f"shop_{os.getpid()}"),
        "USER": parts.username,
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname,
        "PORT": parts.port,
    }
}
INSTALLED_APPS = ["postroom.contrib.django"]
USE_TZ = True
