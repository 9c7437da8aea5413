"""Limits of decoding, from the settings."""

from db.settings import StoreSettings
from dicom.images.limits import DecodingLimits, set_decoding_limits


def limit_decoding(settings: StoreSettings) -> None:
    """Apply the limits of `settings` to everything that this process decodes."""
    set_decoding_limits(DecodingLimits(settings.max_frame_bytes, settings.max_image_bytes))
