"""The database models, one file each."""

from webapp.models.account import Account
from webapp.models.api_key import SCOPES, ApiKey, KeyAccess, KeyType, PreviousSecret, Scope
from webapp.models.audit_entry import AuditEntry
from webapp.models.autoresponse import AutoresponseCount
from webapp.models.base import Base
from webapp.models.delivery import Attempt, Delivery, DeliveryState, Reason
from webapp.models.field import Field, FieldType
from webapp.models.file import File
from webapp.models.host_name import KnownHost, LateAnswer
from webapp.models.interface import Corners, Interface, IpAddresses, Logo, Scheme
from webapp.models.invitation import Invitation
from webapp.models.lead import Lead, LeadLogEntry
from webapp.models.mail import Mail, MailState
from webapp.models.password_reset import PasswordReset
from webapp.models.report import Report, ReportEntry, ReportKind
from webapp.models.spent_key import SpentKey
from webapp.models.status import Status
from webapp.models.sweeper import Sweeper
from webapp.models.user import Role, User
from webapp.models.webhook import Authentication, Lane, Webhook, WebhookState

__all__ = [
    "SCOPES",
    "Account",
    "ApiKey",
    "Attempt",
    "AuditEntry",
    "Authentication",
    "AutoresponseCount",
    "Base",
    "Corners",
    "Delivery",
    "DeliveryState",
    "Field",
    "FieldType",
    "File",
    "Interface",
    "Invitation",
    "IpAddresses",
    "KeyAccess",
    "KeyType",
    "KnownHost",
    "Lane",
    "LateAnswer",
    "Lead",
    "LeadLogEntry",
    "Logo",
    "Mail",
    "MailState",
    "PasswordReset",
    "PreviousSecret",
    "Reason",
    "Report",
    "ReportEntry",
    "ReportKind",
    "Role",
    "Scheme",
    "Scope",
    "SpentKey",
    "Status",
    "Sweeper",
    "User",
    "Webhook",
    "WebhookState",
]
