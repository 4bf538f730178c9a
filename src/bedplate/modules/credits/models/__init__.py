"""Credits: what an account has, where it came from, and everything that was ever done with it.

Only `features` and `admin_settings` are written by plain statements. All other tables are a
ledger: the app's role may read them, and the SQL functions of this module's line write them.
"""

from bedplate.modules.credits.models.accounts import CreditBalance, CreditExpiration, CreditGrant
from bedplate.modules.credits.models.audit import AuditAction, AuditLog
from bedplate.modules.credits.models.features import AdminSettings, Feature
from bedplate.modules.credits.models.holds import CreditHold, HoldAllocation
from bedplate.modules.credits.models.operations import SCHEMA, OperationType
from bedplate.modules.credits.models.usage import UsageAllocation, UsageHistory

__all__ = [
    "SCHEMA",
    "AdminSettings",
    "AuditAction",
    "AuditLog",
    "CreditBalance",
    "CreditExpiration",
    "CreditGrant",
    "CreditHold",
    "Feature",
    "HoldAllocation",
    "OperationType",
    "UsageAllocation",
    "UsageHistory",
]
