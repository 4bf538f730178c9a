"""The whole data layer of a SaaS back end on PostgreSQL, proven.

Open a project, take a handle, use repositories and actions:

    async with await Project.open() as project:
        async with project.db.transaction(actor=user_id) as tx:
            user = await users.update(tx, user_id, assign(User.name, "Ada"))
"""

from bedplate.kernel import audit, errors
from bedplate.kernel.bindings import Binding
from bedplate.kernel.checks import Check
from bedplate.kernel.columns import Identified, SoftDeleted, Timestamped, Versioned
from bedplate.kernel.context import Context, UserId, acting
from bedplate.kernel.database import Database, Writer
from bedplate.kernel.errors import BedplateError
from bedplate.kernel.events import Event, Subscription
from bedplate.kernel.fields import Assignment, assign, equal
from bedplate.kernel.handle import Handle
from bedplate.kernel.idempotency import Once, Request, once
from bedplate.kernel.jobs import Job, JobOptions, Periodic, Running, enqueue, enqueue_many
from bedplate.kernel.leased import Leased
from bedplate.kernel.leases import Lease, Leases
from bedplate.kernel.model import Model
from bedplate.kernel.module import ModuleManifest
from bedplate.kernel.pagination import Page
from bedplate.kernel.query import Query
from bedplate.kernel.relations import Include
from bedplate.kernel.repository import Repository
from bedplate.kernel.settings import Settings
from bedplate.kernel.transaction import Reader, Transaction
from bedplate.kernel.types import document, enum_type, moment, money, user_key
from bedplate.project import Project

__all__ = [
    "Assignment",
    "BedplateError",
    "Binding",
    "Check",
    "Context",
    "Database",
    "Event",
    "Handle",
    "Identified",
    "Include",
    "Job",
    "JobOptions",
    "Lease",
    "Leased",
    "Leases",
    "Model",
    "ModuleManifest",
    "Once",
    "Page",
    "Periodic",
    "Project",
    "Query",
    "Reader",
    "Repository",
    "Request",
    "Running",
    "Settings",
    "SoftDeleted",
    "Subscription",
    "Timestamped",
    "Transaction",
    "UserId",
    "Versioned",
    "Writer",
    "acting",
    "assign",
    "audit",
    "document",
    "enqueue",
    "enqueue_many",
    "enum_type",
    "equal",
    "errors",
    "moment",
    "money",
    "once",
    "user_key",
]
