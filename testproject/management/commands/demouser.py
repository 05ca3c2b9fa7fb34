"""manage.py demouser: make the demo's user, or give it its password back."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

NAME = "demo"
PASSWORD = "not-a-secret"


class Command(BaseCommand):
    help = f"Make the user {NAME!r} with the password {PASSWORD!r}, for the demo alone; it may enter /admin/."

    def handle(self, *args: Any, **options: Any) -> None:
        user, _ = get_user_model().objects.get_or_create(username=NAME)
        if not (user.is_superuser and user.check_password(PASSWORD)):
            user.is_staff = user.is_superuser = True
            user.set_password(PASSWORD)
            user.save()
        self.stdout.write(f"{NAME} / {PASSWORD}")
