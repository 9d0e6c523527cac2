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


class OutputError(CaptionerError):
    """Rows, or files beside them, cannot be written, or what is there is not to be gone on with."""


class DiskError(CaptionerError):
    """The disk is full or gone in the middle of a run, whose rows so far are kept."""


class LockedError(OutputError):
    """Another process is writing the same output."""


class DocumentError(CaptionerError):
    """A document whose images want alternative text cannot be read, decoded, or written."""
