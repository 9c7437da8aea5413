// Labels of a label map with a background segment, by segment number, in the Cornerstone3D adapters.
//
//   npm install @cornerstonejs/adapters @cornerstonejs/core @cornerstonejs/metadata \
//       @cornerstonejs/tools @cornerstonejs/utils dcmjs @babel/runtime
//   node case.mjs
//
// Prints one line of JSON; ends with 1 when a label is under another number.
import { getSegmentMetadata } from '@cornerstonejs/adapters/cornerstone/Segmentation_4X';

const expected = ['Background', 'Lesion 1', 'Lesion 2'];
const SegmentSequence = expected.map((SegmentLabel, SegmentNumber) => ({
  SegmentNumber,
  SegmentLabel,
}));
const seen = getSegmentMetadata({ SegmentSequence }, '1.2.3').data.map(
  (segment) => segment?.SegmentLabel,
);
const correct = JSON.stringify(seen) === JSON.stringify(expected);
console.log(JSON.stringify({ case: 'label map with a background', expected, seen, correct }));
// timers of Cornerstone's own would keep the process waiting
process.exit(correct ? 0 : 1);
