"""The exceptions a user may meet. Their messages are whole sentences, fit to be shown as they stand."""


class CaptionerError(Exception):
    """Base of every error that Captioner raises on purpose; the message says what is wrong and what to do."""


class PhotoError(CaptionerError):
    """A photograph could not be read: missing, empty, truncated, too large, or no image at all."""


class CheckpointError(CaptionerError):
    """A checkpoint file is missing, damaged, foreign, or made for another architecture."""


class SettingError(CaptionerError):
    """A setting has a value that makes no sense, or a name that does not exist."""


class DataError(CaptionerError):
    """A data set of captions is unreadable, incomplete, or empty."""


class DocumentError(CaptionerError):
    """A document whose images want alternative text cannot be read, decoded, or written."""
