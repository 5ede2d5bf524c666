"""Everything `materialize` raises on purpose.

    MaterializeError
    ├── ConfigError             a job file or an option is wrong (also a ValueError)
    ├── MissingPathError        a file or directory that was named is absent (a FileNotFoundError)
    ├── SourceError             the source as a whole cannot be used: absent, unlabelled, ambiguous
    │   └── RecordReadError     one record could not be read (I/O); never a reason to drop an image
    ├── UndecodableImageError   these bytes are not an image we accept; the scan quarantines it
    ├── QuarantineLimitError    more bad images than the job allows; nothing was published
    ├── SizeMismatchError       images differ in size and the pipeline does not bring them to one
    ├── PlanConflictError       the output belongs to another plan
    ├── BuildIncompleteError    some shards are not built yet (also what --max-seconds ends with)
    ├── BuildFailedError        shards failed for a reason that is not the image's bytes
    ├── AccountError            the bytes of a dataset do not add up to what its manifest says
    ├── BudgetError             the dataset would take more than the user allows
    ├── StorageError            the disk refused: full, read-only, permission (also an OSError)
    ├── ManifestError           the manifest is missing, damaged or of another version
    │   └── ManifestMissingError    (also a FileNotFoundError)
    └── ShardError              one shard is unusable
        ├── ShardDamagedError       its bytes are not the bytes that were written
        ├── ShardMissingError       it is not there (also a FileNotFoundError)
        └── ShardUntrustedError     its structure is outside the allow-list

    DamageWarning (a UserWarning)   a shard was unusable and was made again in memory

Messages answer five questions: what failed, where, what was expected, what was found, what to do.
"""

from pipelines.errors import FactualError


class MaterializeError(FactualError):
    """Root of the errors of `materialize`."""


class ConfigError(MaterializeError, ValueError):
    """A job file or an option is wrong."""


class SourceError(MaterializeError):
    """The source as a whole cannot be used."""


class MissingPathError(MaterializeError, FileNotFoundError):
    """A file or a directory that was named is not there."""

    __str__ = FactualError.__str__


class RecordReadError(SourceError):
    """One record could not be read: an I/O failure, never a property of the image."""


class UndecodableImageError(MaterializeError):
    """These bytes are not an image that is accepted; ``err.reason`` is a short stable code."""


class QuarantineLimitError(MaterializeError):
    """More images were quarantined than the job allows."""


class SizeMismatchError(MaterializeError):
    """The images differ in size and nothing in the pipeline brings them to one."""


class PlanConflictError(MaterializeError):
    """The output directory belongs to another plan."""


class BuildIncompleteError(MaterializeError):
    """Some shards are not built yet; running the same command again goes on."""


class BuildFailedError(MaterializeError):
    """Shards failed for a reason other than the bytes of an image."""


class AccountError(MaterializeError):
    """The bytes of a dataset do not add up; both numbers are in the message."""


class BudgetError(MaterializeError):
    """The dataset would take more bytes or money than the user allows."""


class StorageError(MaterializeError, OSError):
    """The file system refused to store something."""

    # OSError.__str__ and its constructor would reinterpret two positional arguments as errno.
    __str__ = FactualError.__str__


class ManifestError(MaterializeError):
    """A manifest is damaged or of an unknown version."""


class ManifestMissingError(ManifestError, FileNotFoundError):
    """There is no manifest: the dataset is not complete."""

    __str__ = FactualError.__str__


class ShardError(MaterializeError):
    """One shard is unusable."""


class ShardDamagedError(ShardError):
    """A shard's bytes are not the bytes that were written."""


class ShardMissingError(ShardError, FileNotFoundError):
    """A shard named by the manifest is not there."""

    __str__ = FactualError.__str__


class ShardUntrustedError(ShardError):
    """A shard's structure is outside the allow-list."""


class DamageWarning(UserWarning):
    """A shard could not be read, and its images were made again in memory from their sources."""
