// Bit-packed frames read and written by the Cornerstone3D adapters.
//
//   npm install @cornerstonejs/adapters @cornerstonejs/core @cornerstonejs/metadata \
//       @cornerstonejs/tools @cornerstonejs/utils dcmjs @babel/runtime
//   node case.mjs
//
// Prints one line of JSON for each case; ends with 1 when one is not as expected.
import {
  EXPLICIT_VR_LITTLE_ENDIAN_TRANSFER_SYNTAX_UID as transferSyntaxUID,
  encodeFramesToTransferSyntax,
  getBitmapFramesFromDataset,
} from '@cornerstonejs/adapters/cornerstone3D/encodePixelData';

// one pixel in each frame, at another place
function draw({ rows, columns, frames }) {
  return Array.from({ length: frames }, (_, frame) =>
    Uint8Array.from({ length: rows * columns }, (_, index) => Number(index === 1 + 2 * frame)),
  );
}

// PS3.5 8.1.1 and D.1: pixel cells follow one another without a gap between frames, the first one in
// the least significant bit of a byte; the whole value is padded to an even number of bytes
function pack(frames) {
  const pixels = frames.flatMap((frame) => [...frame]);
  const bytes = new Uint8Array(2 * Math.ceil(pixels.length / 16));
  pixels.forEach((pixel, index) => {
    bytes[index >> 3] |= pixel << (index % 8);
  });
  return bytes;
}

function read({ rows, columns, frames }, bytes) {
  const dataset = { Rows: rows, Columns: columns, NumberOfFrames: frames };
  const { buffer: PixelData } = bytes;
  const answer = getBitmapFramesFromDataset({ ...dataset, BitsAllocated: 1, PixelData });
  return answer.frames.map((frame) => [...frame].flatMap((pixel, index) => (pixel ? [index] : [])));
}

let failed = false;
function report(name, expected, run) {
  const answer = { case: name, expected };
  try {
    answer.seen = run();
  } catch (error) {
    answer.error = error.message;
  }
  answer.correct = JSON.stringify(answer.seen) === JSON.stringify(expected);
  failed ||= !answer.correct;
  console.log(JSON.stringify(answer));
}

const padded = { rows: 5, columns: 5, frames: 2 };
report('read two frames of 25 pixels, a padding byte', [[1], [3]], () =>
  read(padded, pack(draw(padded))),
);
const refused = { rows: 3, columns: 3, frames: 4 };
report('read four frames of 9 pixels, a padding byte', [[1], [3], [5], [7]], () =>
  read(refused, pack(draw(refused))),
);
// 30 bits without a gap need as many bytes as two frames of two bytes
const ambiguous = { rows: 5, columns: 3, frames: 2 };
report('read two frames of 15 pixels', [[1], [3]], () => read(ambiguous, pack(draw(ambiguous))));
const written = { rows: 5, columns: 5, frames: 3 };
report('write three frames of 25 pixels', [...pack(draw(written))], () => {
  const frames = draw(written);
  const args = { frames, transferSyntaxUID, bitsAllocated: 1, columns: written.columns };
  return [...encodeFramesToTransferSyntax(args).pixelData];
});
process.exitCode = failed ? 1 : 0;
