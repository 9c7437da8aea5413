// Bit-packed frames read by dcmjs: expected and read pixels, for four small synthetic files.
//
//   npm install dcmjs
//   node case.mjs
//
// Prints one line of JSON for each file; ends with 1 when a file is not read as it was written.
import dcmjs from 'dcmjs';

const { AsyncDicomReader } = dcmjs.async;
const { DicomDict } = dcmjs.data;

const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const SEGMENTATION_STORAGE = '1.2.840.10008.5.1.4.1.1.66.4';

// PS3.5 8.1.1 and D.1: pixel cells follow one another without a gap between frames, the first one in
// the least significant bit of a byte; the whole value is padded to an even number of bytes
function pack(pixels, bits) {
  const bytes = new Uint8Array(2 * Math.ceil((pixels.length * bits) / 16));
  pixels.forEach((pixel, index) => {
    if (bits === 8) {
      bytes[index] = pixel;
    } else {
      bytes[index >> 3] |= pixel << (index % 8);
    }
  });
  return bytes.buffer;
}

function write({ rows, columns, frames, bits }, pixels) {
  const element = (vr, ...Value) => ({ vr, Value });
  const file = new DicomDict({
    '00020001': element('OB', new Uint8Array([0, 1]).buffer),
    '00020002': element('UI', SEGMENTATION_STORAGE),
    '00020003': element('UI', '1.2.826.0.1.3680043.8.498.1'),
    '00020010': element('UI', EXPLICIT_LITTLE_ENDIAN),
    '00020012': element('UI', '1.2.826.0.1.3680043.8.498.2'),
  });
  file.dict = {
    '00080016': element('UI', SEGMENTATION_STORAGE),
    '00080018': element('UI', '1.2.826.0.1.3680043.8.498.1'),
    '00280002': element('US', 1),
    '00280004': element('CS', 'MONOCHROME2'),
    '00280008': element('IS', frames),
    '00280010': element('US', rows),
    '00280011': element('US', columns),
    '00280100': element('US', bits),
    '00280101': element('US', bits),
    '00280102': element('US', bits - 1),
    '00280103': element('US', 0),
    '7FE00010': element('OB', pack(pixels, bits)),
  };
  return file.write();
}

async function read(buffer) {
  const reader = new AsyncDicomReader();
  reader.stream.addBuffer(buffer);
  reader.stream.setComplete();
  await reader.readFile();
  return reader.dict['7FE00010'].Value;
}

// a frame as the Cornerstone3D adapters unpack it: the first pixel in the least significant bit
function unpack(frame, { rows, columns, bits }) {
  const bytes = new Uint8Array([frame].flat()[0]);
  return Array.from({ length: rows * columns }, (_, index) =>
    bits === 8 ? bytes[index] : (bytes[index >> 3] >> (index % 8)) & 1,
  );
}

const files = [
  { name: 'three frames of 25 pixels', rows: 5, columns: 5, frames: 3, bits: 1 },
  { name: 'two frames of 25 pixels, a padding byte', rows: 5, columns: 5, frames: 2, bits: 1 },
  { name: 'three frames of 8 pixels, a padding byte', rows: 2, columns: 4, frames: 3, bits: 1 },
  { name: 'three frames of 9 bytes, a padding byte', rows: 3, columns: 3, frames: 3, bits: 8 },
];
let failed = false;
for (const file of files) {
  const size = file.rows * file.columns;
  // one pixel in each frame, at another place
  const pixels = Array.from({ length: size * file.frames }, (_, index) =>
    Number(index % size === 1 + 2 * Math.floor(index / size)),
  );
  const expected = Array.from({ length: file.frames }, (_, index) => 1 + 2 * index);
  const answer = { file: file.name, expected };
  try {
    const frames = await read(write(file, pixels));
    answer.read = frames.map((frame) => {
      const found = unpack(frame, file).flatMap((pixel, index) => (pixel ? [index] : []));
      return found.length === 1 ? found[0] : found;
    });
  } catch (error) {
    answer.error = error.message;
  }
  answer.correct = JSON.stringify(answer.read) === JSON.stringify(expected);
  failed ||= !answer.correct;
  console.log(JSON.stringify(answer));
}
process.exitCode = failed ? 1 : 0;
