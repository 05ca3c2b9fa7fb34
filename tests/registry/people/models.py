"""Users of a kind of primary key that the environment names."""

from __future__ import annotations

import os
import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

KINDS: dict[str, Any] = {
    "uuid": lambda: models.UUIDField(primary_key=True, default=uuid.uuid4),
    "text": lambda: models.EmailField(primary_key=True),
}
KIND = "PEOPLE_KEY"


class Person(AbstractBaseUser):
    """A user of a project's own model."""

    id = KINDS[os.environ.get(KIND, "uuid")]()
    name = models.CharField(max_length=100, unique=True)
    is_active = models.BooleanField(default=True)

    USERNAME_FIELD = "name"
    objects: ClassVar[Any] = BaseUserManager()

    class Meta:
        app_label = "people"
