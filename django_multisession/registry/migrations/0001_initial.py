import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import django_multisession.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="PendingDeletion",
            fields=[
                (
                    "storage_key",
                    django_multisession.models.StorageKeyField(
                        max_length=40, primary_key=True, serialize=False, verbose_name="storage key"
                    ),
                ),
                ("session_name", models.CharField(max_length=32, verbose_name="session")),
                ("due_at", models.DateTimeField(db_index=True, verbose_name="due")),
                ("row_id", models.BigIntegerField(db_index=True, null=True, verbose_name="row")),
                ("is_left", models.BooleanField(default=False, verbose_name="left")),
            ],
            options={
                "verbose_name": "pending deletion",
                "verbose_name_plural": "pending deletions",
                "db_table": "multisession_pending_deletion",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="RegisteredUser",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
                ("revoked_at", models.DateTimeField(null=True, verbose_name="revoked")),
                ("locked_at", models.DateTimeField(null=True, verbose_name="locked")),
            ],
            options={
                "verbose_name": "user of sessions",
                "verbose_name_plural": "users of sessions",
                "db_table": "multisession_registered_user",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="RegisteredSession",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "public_id",
                    models.UUIDField(default=uuid.uuid4, editable=False, unique=True, verbose_name="public id"),
                ),
                (
                    "storage_key",
                    django_multisession.models.StorageKeyField(
                        editable=False, max_length=40, unique=True, verbose_name="storage key"
                    ),
                ),
                (
                    "previous_key",
                    django_multisession.models.StorageKeyField(
                        blank=True, db_index=True, editable=False, max_length=40, verbose_name="previous storage key"
                    ),
                ),
                ("session_name", models.CharField(max_length=32, verbose_name="session")),
                ("created_at", models.DateTimeField(verbose_name="created")),
                ("authenticated_at", models.DateTimeField(verbose_name="logged in")),
                ("last_seen", models.DateTimeField(verbose_name="last seen")),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                ("revoked_at", models.DateTimeField(blank=True, null=True, verbose_name="revoked")),
                ("ip_address", models.GenericIPAddressField(blank=True, null=True, verbose_name="IP address")),
                ("user_agent", models.CharField(blank=True, max_length=255, verbose_name="user agent")),
                ("label", models.CharField(blank=True, max_length=100, verbose_name="label")),
                (
                    "external_id",
                    models.CharField(blank=True, db_index=True, max_length=255, verbose_name="external id"),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="registered_sessions",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "registered session",
                "verbose_name_plural": "registered sessions",
                "db_table": "multisession_registered_session",
                "permissions": [("revoke_session", "Can revoke sessions")],
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["user", "-authenticated_at"], name="multisession_reg_user"),
                    models.Index(fields=["expires_at"], name="multisession_reg_expiry"),
                    models.Index(fields=["revoked_at"], name="multisession_reg_revoked"),
                ],
            },
        ),
    ]
