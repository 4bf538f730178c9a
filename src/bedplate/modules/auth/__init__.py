"""Users and what they prefer; the module that every other one builds on."""

from bedplate.modules.auth.actions import (
    Backfilled,
    backfill_preferences,
    create_user,
    get_user_with_data,
)
from bedplate.modules.auth.errors import (
    ClerkIdTaken,
    CredentialMissing,
    EmailInvalid,
    EmailTaken,
)
from bedplate.modules.auth.events import UserCreated
from bedplate.modules.auth.models import AuditAction, AuditLog, Role, User, UserPreferences
from bedplate.modules.auth.module import MODULE
from bedplate.modules.auth.repositories import UserRepository, user_preferences, users
from bedplate.modules.auth.samples import sample_users

__all__ = [
    "MODULE",
    "AuditAction",
    "AuditLog",
    "Backfilled",
    "ClerkIdTaken",
    "CredentialMissing",
    "EmailInvalid",
    "EmailTaken",
    "Role",
    "User",
    "UserCreated",
    "UserPreferences",
    "UserRepository",
    "backfill_preferences",
    "create_user",
    "get_user_with_data",
    "sample_users",
    "user_preferences",
    "users",
]
