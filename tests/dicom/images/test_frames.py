import tracemalloc
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pydicom.data
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import (
    MPEG4HP41,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from dicom.errors import (
    DicomError,
    NoPixelData,
    NotDicom,
    TruncatedFile,
    UndecodableFrame,
    UnsupportedTransferSyntax,
)
from dicom.images.frames import can_decode, decode_frames, sample_frames
from dicom.images.ultrasound_image import build_ultrasound_image
from tests.dicom import making

COLOR = [making.color(seed=seed) for seed in range(4)]


def write_compressed(path: Path, syntax: str, frames: list[NDArray[np.uint8]]) -> Path:
    dataset = build_ultrasound_image(frames, study=making.STUDY)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    dataset = pydicom.dcmread(path)
    dataset.compress(UID(syntax), generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


# --------------------------------------------------------------------------- real files


def test_real_files_decode_as_in_pydicom(shared_data: Path) -> None:
    for path in sorted((shared_data / "dicom").glob("*.dcm")):
        plain = pydicom.dcmread(path)
        expected = np.atleast_3d(plain.pixel_array) if "NumberOfFrames" not in plain else None
        frames = list(decode_frames(path))
        assert len(frames) == int(plain.get("NumberOfFrames", 1))
        for index, frame in enumerate(frames):
            stored = plain.pixel_array[index] if expected is None else plain.pixel_array
            assert frame.dtype == np.uint8
            assert np.abs(frame.astype(int) - shown(stored, plain)).max() <= 2, path.name


def shown(stored: NDArray[np.generic], dataset: Dataset) -> NDArray[np.int_]:
    """Convert a frame with functions of pydicom, whose color tables have 16-bit entries."""
    if dataset.PhotometricInterpretation != "PALETTE COLOR":
        return stored.astype(int)
    colors = apply_color_lut(stored, dataset).astype(int)
    return colors >> 8 if colors.max() > 255 else colors


@pytest.mark.filterwarnings("ignore::UserWarning")  # the files are invalid on purpose
def test_test_files_of_pydicom_decode_as_in_pydicom_or_raise_a_dicom_error() -> None:
    same = 0
    for path in sorted((Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm")):
        try:
            frame = next(decode_frames(path))
        except DicomError:
            continue
        plain = pydicom.dcmread(path)
        if plain.BitsStored == 8 and plain.PhotometricInterpretation != "PALETTE COLOR":
            stored = plain.pixel_array
            assert np.array_equal(
                frame, stored if plain.get("NumberOfFrames", 1) == 1 else stored[0]
            )
            same += 1
    assert same > 20


def test_jpeg_with_12_bits_is_not_supported() -> None:
    path = Path(pydicom.data.__file__).parent / "test_files" / "JPGExtended.dcm"
    with pytest.raises(UnsupportedTransferSyntax, match="12 bits"):
        next(decode_frames(path))


# --------------------------------------------------------------------------- transfer syntaxes


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_lossless_transfer_syntaxes_preserve_every_pixel(tmp_path: Path, syntax: str) -> None:
    path = write_compressed(tmp_path / "cine.dcm", syntax, COLOR)
    decoded = list(decode_frames(path))
    assert all(np.array_equal(a, b) for a, b in zip(decoded, COLOR, strict=True))


def test_jpeg_lossless_preserves_every_pixel(tmp_path: Path) -> None:
    source = making.write_image(tmp_path / "plain.dcm", COLOR[0])
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(tmp_path / "lossless.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    (decoded,) = decode_frames(tmp_path / "lossless.dcm")
    assert np.array_equal(decoded, COLOR[0])


def test_a_deflated_file_is_inflated(tmp_path: Path) -> None:
    dataset = build_ultrasound_image(COLOR, study=making.STUDY)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = tmp_path / "deflated.dcm"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    decoded = list(decode_frames(path, [2, 0]))
    assert np.array_equal(decoded[0], COLOR[2])
    assert np.array_equal(decoded[1], COLOR[0])


def test_video_cannot_be_decoded(tmp_path: Path) -> None:
    dataset = build_ultrasound_image(
        COLOR, study=making.STUDY, transfer_syntax_uid=JPEGBaseline8Bit
    )
    dataset.file_meta.TransferSyntaxUID = MPEG4HP41
    path = tmp_path / "video.dcm"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    assert not can_decode(MPEG4HP41)
    with pytest.raises(UnsupportedTransferSyntax) as caught:
        next(decode_frames(path))
    assert caught.value.uid == MPEG4HP41


# --------------------------------------------------------------------------- gray


def write_gray(path: Path, values: NDArray[np.uint16], **attributes: object) -> Path:
    dataset = build_ultrasound_image(np.zeros(values.shape, np.uint8), study=making.STUDY)
    dataset.BitsAllocated = 16
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.add_new("PixelData", "OW", values.astype("<u2").tobytes())
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def test_gray_without_a_window_is_scaled_to_its_own_range(tmp_path: Path) -> None:
    (frame,) = decode_frames(write_gray(tmp_path / "gray.dcm", RAMP[:, :32] + 100))
    assert (frame.min(), frame.max()) == (0, 255)


def test_gray_of_one_value_is_black(tmp_path: Path) -> None:
    (frame,) = decode_frames(write_gray(tmp_path / "gray.dcm", np.full_like(RAMP, 700)))
    assert not frame.any()


@pytest.mark.parametrize(
    ("function", "at_center", "at_edge"),
    [("LINEAR", 128, 255), ("LINEAR_EXACT", 128, 255), ("SIGMOID", 128, 225)],
)
def test_a_voi_window_is_applied(
    tmp_path: Path, function: str, at_center: int, at_edge: int
) -> None:
    path = write_gray(
        tmp_path / "gray.dcm",
        RAMP,
        WindowCenter=["2000", "1"],
        WindowWidth=["1000", "1"],
        VOILUTFunction=function,
    )
    (frame,) = decode_frames(path)
    assert frame.ravel()[2000] == pytest.approx(at_center, abs=1)
    assert frame.ravel()[2500] == pytest.approx(at_edge, abs=1)
    assert frame.ravel()[1000] < 10


def test_an_invalid_window_is_ignored(tmp_path: Path) -> None:
    path = write_gray(tmp_path / "gray.dcm", RAMP, WindowCenter="0", WindowWidth="0")
    (frame,) = decode_frames(path)
    assert (frame.min(), frame.max()) == (0, 255)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    changes = {"PhotometricInterpretation": "MONOCHROME1"}
    (frame,) = decode_frames(making.write_image(tmp_path / "gray.dcm", changes=changes))
    assert np.array_equal(frame, 255 - making.gray())


def test_the_modality_lut_is_applied_before_the_window(tmp_path: Path) -> None:
    path = write_gray(
        tmp_path / "gray.dcm",
        RAMP,
        RescaleSlope="2",
        RescaleIntercept="-1000",
        WindowCenter="3000",
        WindowWidth="1000",
    )
    (frame,) = decode_frames(path)
    assert frame.ravel()[2000] == pytest.approx(128, abs=1)


# --------------------------------------------------------------------------- color


@pytest.mark.parametrize("entry_bits", [8, 16])
def test_a_palette_becomes_rgb(tmp_path: Path, entry_bits: int) -> None:
    table = np.stack([np.arange(256), 255 - np.arange(256), np.full(256, 7)], axis=-1)
    entries = table * 257 if entry_bits == 16 else table  # some machines write 8-bit entries
    dataset = build_ultrasound_image(making.gray(), study=making.STUDY)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for channel, name in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        data = entries[:, channel].astype("<u2").tobytes()
        setattr(dataset, f"{name}PaletteColorLookupTableData", data)
    path = tmp_path / "palette.dcm"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    (frame,) = decode_frames(path)
    assert np.array_equal(frame, table[making.gray()])


@pytest.mark.parametrize("dtype", ["<u2", "<u4"])
def test_color_with_more_than_8_bits_keeps_its_upper_bits(tmp_path: Path, dtype: str) -> None:
    bits = 8 * np.dtype(dtype).itemsize
    dataset = build_ultrasound_image(COLOR[0], study=making.STUDY)
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    deep = COLOR[0].astype(dtype) << (bits - 8)
    dataset.add_new("PixelData", "OW", deep.tobytes())
    pydicom.dcmwrite(tmp_path / "deep.dcm", dataset, enforce_file_format=True)
    (frame,) = decode_frames(tmp_path / "deep.dcm")
    assert np.array_equal(frame, COLOR[0])


def test_planar_color_is_interleaved(tmp_path: Path) -> None:
    dataset = build_ultrasound_image(COLOR[0], study=making.STUDY)
    dataset.PlanarConfiguration = 1
    dataset.PixelData = np.moveaxis(COLOR[0], 2, 0).tobytes()
    pydicom.dcmwrite(tmp_path / "planar.dcm", dataset, enforce_file_format=True)
    (frame,) = decode_frames(tmp_path / "planar.dcm")
    assert np.array_equal(frame, COLOR[0])


def test_an_unknown_photometric_interpretation_is_an_error(tmp_path: Path) -> None:
    changes = {"PhotometricInterpretation": "YBR_PARTIAL_422"}
    path = making.write_image(tmp_path / "image.dcm", COLOR[0], changes=changes)
    with pytest.raises(UndecodableFrame):
        next(decode_frames(path))


# --------------------------------------------------------------------------- frame indices


def test_frames_are_in_the_order_of_the_indices(tmp_path: Path) -> None:
    path = making.write_image(tmp_path / "cine.dcm", COLOR)
    decoded = list(decode_frames(path, [3, 1, 3]))
    assert all(np.array_equal(a, COLOR[n]) for a, n in zip(decoded, [3, 1, 3], strict=True))


def test_no_indices_give_no_frames(tmp_path: Path) -> None:
    assert list(decode_frames(making.write_image(tmp_path / "image.dcm"), [])) == []


@pytest.mark.parametrize("index", [-1, 4])
def test_a_missing_frame_is_named(tmp_path: Path, index: int) -> None:
    path = making.write_image(tmp_path / "cine.dcm", COLOR)
    with pytest.raises(UndecodableFrame) as caught:
        list(decode_frames(path, [0, index]))
    assert caught.value.frame == index


def test_a_long_cine_is_never_in_memory(tmp_path: Path) -> None:
    frames = [making.color(200, 300, seed) for seed in range(60)]
    path = making.write_image(tmp_path / "cine.dcm", frames)
    frame_bytes = frames[0].nbytes
    del frames
    tracemalloc.start()
    count = sum(1 for _ in decode_frames(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 60
    assert peak < 12 * frame_bytes


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [(1, 8, [0]), (5, 8, [0, 1, 2, 3, 4]), (9, 3, [0, 4, 8]), (100, 1, [50]), (2, 2, [0, 1])],
)
def test_samples_are_evenly_spread_and_include_both_ends(
    count: int, limit: int, expected: list[int]
) -> None:
    assert sample_frames(count, limit) == expected


def test_samples_never_repeat() -> None:
    for count in range(1, 60):
        for limit in range(1, 20):
            sample = sample_frames(count, limit)
            assert len(set(sample)) == len(sample) == min(count, limit)


@pytest.mark.parametrize(("count", "limit"), [(0, 3), (3, 0)])
def test_sampling_requires_positive_numbers(count: int, limit: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        sample_frames(count, limit)


# --------------------------------------------------------------------------- damage


def test_a_file_that_is_not_dicom_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"PNG")
    with pytest.raises(NotDicom):
        next(decode_frames(tmp_path / "x"))


def test_an_object_without_pixels_is_an_error(tmp_path: Path) -> None:
    path = making.write_image(tmp_path / "image.dcm", changes={"PixelData": None})
    with pytest.raises(NoPixelData):
        next(decode_frames(path))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGBaseline8Bit])
@pytest.mark.parametrize("missing", [1, 900])
def test_a_file_that_ends_within_its_pixels_is_truncated(
    tmp_path: Path, syntax: str, missing: int
) -> None:
    path = making.write_image(tmp_path / "cine.dcm", COLOR, transfer_syntax_uid=syntax)
    tail = 8 if syntax == JPEGBaseline8Bit else 0  # only the sequence delimiter may be missing
    path.write_bytes(path.read_bytes()[: -tail - missing])
    with pytest.raises(TruncatedFile):
        next(decode_frames(path))


def test_every_truncation_of_a_compressed_cine_raises_a_dicom_error_or_decodes(
    tmp_path: Path,
) -> None:
    path = making.write_image(tmp_path / "cine.dcm", COLOR, transfer_syntax_uid=JPEGBaseline8Bit)
    whole = path.read_bytes()
    for end in range(len(whole) - 1, 0, -len(whole) // 40):
        path.write_bytes(whole[:end])
        try:
            decoded = list(decode_frames(path))
        except DicomError:
            continue
        assert len(decoded) == len(COLOR)


def write_with_bad_frame(path: Path, syntax: str, bad: int) -> Path:
    write_compressed(path, syntax, COLOR)
    dataset = pydicom.dcmread(path)
    parts = list(generate_frames(dataset.PixelData, number_of_frames=len(COLOR)))
    parts[bad] = b"\xde\xad\xbe\xef" * 50
    dataset.PixelData = encapsulate(parts)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_a_damaged_frame_is_named_and_the_others_can_be_decoded(
    tmp_path: Path, syntax: str
) -> None:
    path = write_with_bad_frame(tmp_path / "cine.dcm", syntax, bad=2)
    frames = decode_frames(path)
    assert np.array_equal(next(frames), COLOR[0])
    assert np.array_equal(next(frames), COLOR[1])
    with pytest.raises(UndecodableFrame) as caught:
        next(frames)
    assert caught.value.frame == 2
    (rest,) = decode_frames(path, [3])
    assert np.array_equal(rest, COLOR[3])


def test_a_frame_with_another_size_than_the_header_is_an_error(tmp_path: Path) -> None:
    path = making.write_image(
        tmp_path / "image.dcm",
        COLOR[0],
        transfer_syntax_uid=JPEGBaseline8Bit,
        changes={"Rows": 32},
    )
    with pytest.raises(UndecodableFrame):
        next(decode_frames(path))


def test_fewer_pixels_than_in_the_header_are_an_error(tmp_path: Path) -> None:
    path = making.write_image(tmp_path / "image.dcm", changes={"Rows": 200})
    with pytest.raises(UndecodableFrame):
        next(decode_frames(path))
