// A segmentation without Plane Orientation, read by the Cornerstone3D adapters.
//
//   npm install @cornerstonejs/adapters @cornerstonejs/core @cornerstonejs/metadata \
//       @cornerstonejs/tools @cornerstonejs/utils dcmjs @babel/runtime
//   node case.mjs
//
// Prints one line of JSON for each case; ends with 1 when one is not as expected.
import { adaptersSEG } from '@cornerstonejs/adapters';
import { cache, metaData } from '@cornerstonejs/core';
import dcmjs from 'dcmjs';

const { datasetToDict } = dcmjs.data;
const ULTRASOUND_STORAGE = '1.2.840.10008.5.1.4.1.1.6.1';
const SEGMENTATION_STORAGE = '1.2.840.10008.5.1.4.1.1.66.4';
const SOURCE = '1.2.826.0.1.3680043.8.498.10';
const SERIES = '1.2.826.0.1.3680043.8.498.11';
const IMAGE_ID = `wadors:https://pacs/instances/${SOURCE}/frames/1`;
const ROWS = 4;
const COLUMNS = 8;
// pixels of the segment
const EXPECTED = [9, 10, 17];

// an ultrasound image: viewers lay it into a plane of its own
const modules = {
  instance: { SOPInstanceUID: SOURCE, Rows: ROWS, Columns: COLUMNS },
  generalImageModule: { sopInstanceUID: SOURCE },
  generalSeriesModule: { seriesInstanceUID: SERIES, modality: 'US' },
  imagePixelModule: { bitsAllocated: 8, samplesPerPixel: 1, pixelRepresentation: 0 },
  imagePlaneModule: {
    rows: ROWS,
    columns: COLUMNS,
    rowCosines: [1, 0, 0],
    columnCosines: [0, 1, 0],
    imageOrientationPatient: [1, 0, 0, 0, 1, 0],
    imagePositionPatient: [0, 0, 0],
    rowPixelSpacing: 1,
    columnPixelSpacing: 1,
    pixelSpacing: [1, 1],
    frameOfReferenceUID: SOURCE,
  },
};
metaData.addProvider((type, imageId) => (imageId === IMAGE_ID ? modules[type] : undefined), 1);

function write(shared) {
  const bytes = new Uint8Array((ROWS * COLUMNS) / 8);
  EXPECTED.forEach((pixel) => {
    bytes[pixel >> 3] |= 1 << (pixel % 8);
  });
  const code = (CodeValue, CodeMeaning) => ({
    CodeValue,
    CodingSchemeDesignator: 'SCT',
    CodeMeaning,
  });
  return datasetToDict({
    SOPClassUID: SEGMENTATION_STORAGE,
    SOPInstanceUID: '1.2.826.0.1.3680043.8.498.12',
    SeriesInstanceUID: '1.2.826.0.1.3680043.8.498.13',
    Modality: 'SEG',
    NumberOfFrames: 1,
    SamplesPerPixel: 1,
    PhotometricInterpretation: 'MONOCHROME2',
    Rows: ROWS,
    Columns: COLUMNS,
    BitsAllocated: 1,
    BitsStored: 1,
    HighBit: 0,
    PixelRepresentation: 0,
    SegmentationType: 'BINARY',
    SegmentSequence: [
      {
        SegmentNumber: 1,
        SegmentLabel: 'Lesion 1',
        SegmentedPropertyCategoryCodeSequence: [code('49755003', 'Morphologic abnormality')],
        SegmentedPropertyTypeCodeSequence: [code('52988006', 'Lesion')],
      },
    ],
    ReferencedSeriesSequence: [
      {
        SeriesInstanceUID: SERIES,
        ReferencedInstanceSequence: [
          { ReferencedSOPClassUID: ULTRASOUND_STORAGE, ReferencedSOPInstanceUID: SOURCE },
        ],
      },
    ],
    SharedFunctionalGroupsSequence: [shared],
    PerFrameFunctionalGroupsSequence: [
      {
        SegmentIdentificationSequence: [{ ReferencedSegmentNumber: 1 }],
        DerivationImageSequence: [
          {
            SourceImageSequence: [
              {
                ReferencedSOPClassUID: ULTRASOUND_STORAGE,
                ReferencedSOPInstanceUID: SOURCE,
                ReferencedFrameNumber: 1,
              },
            ],
          },
        ],
      },
    ],
    PixelData: [bytes.buffer],
    _vrMap: { PixelData: 'OB' },
    _meta: {
      FileMetaInformationVersion: { Value: [new Uint8Array([0, 1]).buffer], vr: 'OB' },
      TransferSyntaxUID: { Value: ['1.2.840.10008.1.2.1'], vr: 'UI' },
    },
  }).write();
}

async function read(buffer) {
  const metadataProvider = { get: metaData.get, add() {} };
  const { Segmentation } = adaptersSEG.Cornerstone3D;
  const answer = await Segmentation.createFromDICOMSegBuffer([IMAGE_ID], buffer, {
    metadataProvider,
  });
  const pixels = [...answer.labelMapImages.flat()[0].voxelManager.getScalarData()];
  cache.purgeCache();
  return pixels.flatMap((segment, index) => (segment ? [index] : []));
}

const PixelMeasuresSequence = [{ SliceThickness: 1 }];
const PlaneOrientationSequence = [{ ImageOrientationPatient: [1, 0, 0, 0, 1, 0] }];
const cases = {
  'with Plane Orientation': { PixelMeasuresSequence, PlaneOrientationSequence },
  'without Plane Orientation': { PixelMeasuresSequence },
  'with an empty Shared Functional Groups item': {},
};
let failed = false;
for (const [name, shared] of Object.entries(cases)) {
  const answer = { case: name, expected: EXPECTED };
  try {
    answer.seen = await read(write(shared));
  } catch (error) {
    answer.error = error.message;
  }
  answer.correct = JSON.stringify(answer.seen) === JSON.stringify(EXPECTED);
  failed ||= !answer.correct;
  console.log(JSON.stringify(answer));
}
// timers of Cornerstone's own would keep the process waiting
process.exit(failed ? 1 : 0);
