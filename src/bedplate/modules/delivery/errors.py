"""What the verbs of `delivery` refuse; nothing is written then, and a transaction can go on."""

from __future__ import annotations

from bedplate.kernel.errors import BedplateError


class MailInvalid(BedplateError):
    """A mail that cannot be sent as it is; the message names the field, never its value."""

    code = "delivery.mail_invalid"
    advice = "Correct the field."


class AddressInvalid(MailInvalid):
    """The text is not an e-mail address that can be delivered to."""

    code = "delivery.address_invalid"
    advice = "Pass one bare address, such as ada@example.com."


class HeaderInvalid(MailInvalid):
    """A text that would break out of its header: it has a line break or a control character."""

    code = "delivery.header_invalid"
    advice = "Take the line breaks and control characters out; they are how headers are injected."


class MailTooLarge(MailInvalid):
    """The letter with all that is attached to it is larger than servers take."""

    code = "delivery.mail_too_large"
    advice = "Attach less, or send a link."


class MailConflict(BedplateError):
    """Another mail was asked for under the same dedupe key, or under the same id."""

    code = "delivery.conflict"
    advice = "Use a key per mail: build it from stable ids and dates, never from formatted text."


class UnknownAddressee(BedplateError):
    """There is no such user; the transaction cannot go on then."""

    code = "delivery.unknown_addressee"
    advice = "Correct the user's id, or leave it out."


class UnknownMail(BedplateError):
    """There is no such mail."""

    code = "delivery.unknown_mail"
    advice = "Pass the id that send answered."


class MailOver(BedplateError):
    """The mail is not in a state in which that can be done to it."""

    code = "delivery.mail_over"
    advice = "Read its status; send another mail under a new key."


class CategoryMandatory(BedplateError):
    """Mail of this category is sent whatever its addressee wants."""

    code = "delivery.category_mandatory"
    advice = "Offer no choice for it."


class QuietHoursInvalid(BedplateError):
    """Quiet hours without a length, or in a zone that nobody knows."""

    code = "delivery.quiet_hours_invalid"
    advice = "Pass two different local times and a zone such as Europe/Berlin."


class UnknownToken(BedplateError):
    """No mail of ours has this link."""

    code = "delivery.unknown_token"
    advice = "Use the link as it stands in the mail."


class NotConfigured(BedplateError):
    """No server, or no sender, is set; mail waits until one is."""

    code = "delivery.not_configured"
    advice = "Set BEDPLATE_DELIVERY_SMTP_URL and BEDPLATE_DELIVERY_SENDER."


class LinksNotConfigured(NotConfigured):
    """A mail has a link of ours in it, and nothing says where it leads."""

    code = "delivery.links_not_configured"
    advice = "Set BEDPLATE_DELIVERY_LINKS_URL to where your app serves them."
