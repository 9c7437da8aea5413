"""Limits of decoding, from the settings."""

from db.settings import StoreSettings
from dicom.images.limits import DecodingLimits, set_decoding_limits


def limit_decoding(settings: StoreSettings) -> None:
    """Apply the limits of `settings` to everything that this process decodes."""
    limits = DecodingLimits(
        settings.max_frame_bytes,
        settings.max_image_bytes,
        settings.frame_timeout_seconds,
        settings.decoder_memory_bytes,
    )
    set_decoding_limits(limits)
