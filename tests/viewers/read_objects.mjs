// What dcmjs and the Cornerstone3D adapters, the readers inside OHIF, make of result objects.
//
//   node read_objects.mjs < [{"source": path, "segmentations": [path], "reports": [path]}]
//
// Answers in JSON: each segmentation as the pixels that each segment has on each frame, each report
// as its measurement groups.
import { readFileSync } from 'node:fs';

import { adaptersSEG, adaptersSR } from '@cornerstonejs/adapters';
import { cache, metaData } from '@cornerstonejs/core';
import dcmjs from 'dcmjs';

const { DicomMessage, DicomMetaDictionary } = dcmjs.data;
const { Segmentation } = adaptersSEG.Cornerstone3D;
const { PlanarFreehandROI } = adaptersSR.Cornerstone3D;
const images = new Map();

metaData.addProvider((type, imageId) => images.get(imageId)?.[type], 1);

function open(path) {
  const bytes = readFileSync(path);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const file = DicomMessage.readFile(buffer);
  return { buffer, dataset: DicomMetaDictionary.naturalizeDataset(file.dict) };
}

// a viewer lays an image without an orientation into a plane of its own: a unit square for each pixel
function register({ dataset }) {
  const { Rows: rows, Columns: columns, SOPInstanceUID: uid, SeriesInstanceUID: series } = dataset;
  const count = Number(dataset.NumberOfFrames ?? 1);
  const axes = (dataset.ImageOrientationPatient ?? [1, 0, 0, 0, 1, 0]).map(Number);
  return Array.from({ length: count }, (_, index) => {
    const imageId = `wadors:https://pacs/instances/${uid}/frames/${index + 1}`;
    images.set(imageId, {
      instance: dataset,
      frameNumber: index + 1,
      generalImageModule: { sopInstanceUID: uid },
      generalSeriesModule: { seriesInstanceUID: series, modality: 'US' },
      imagePixelModule: { bitsAllocated: 8, samplesPerPixel: 1, pixelRepresentation: 0 },
      imagePlaneModule: {
        rows,
        columns,
        rowCosines: axes.slice(0, 3),
        columnCosines: axes.slice(3),
        imageOrientationPatient: axes,
        imagePositionPatient: [0, 0, index],
        rowPixelSpacing: 1,
        columnPixelSpacing: 1,
        pixelSpacing: [1, 1],
        frameOfReferenceUID: uid,
      },
    });
    return imageId;
  });
}

async function readSegmentation(path, imageIds) {
  const { buffer, dataset } = open(path);
  const segments = [dataset.SegmentSequence].flat().map((segment) => ({
    number: segment.SegmentNumber,
    trackingUid: segment.TrackingUID ?? '',
    algorithmType: segment.SegmentAlgorithmType,
  }));
  return { path, segments, drawn: await drawn(buffer, imageIds) };
}

async function drawn(buffer, imageIds) {
  const metadataProvider = { get: metaData.get, add() {} };
  try {
    const read = await Segmentation.createFromDICOMSegBuffer(imageIds, buffer, { metadataProvider });
    return { pixels: pixelsOf(read.labelMapImages), overlapping: read.overlappingSegments };
  } catch (error) {
    return { error: error.message };
  } finally {
    cache.purgeCache();
  }
}

// layers of label maps, which hold overlapping segments -> {segment: {frame: [pixel indices]}}
function pixelsOf(layers) {
  const found = {};
  for (const layer of layers) {
    layer.forEach((image, index) => {
      image.voxelManager.getScalarData().forEach((segment, pixel) => {
        if (segment) {
          ((found[segment] ??= {})[index + 1] ??= []).push(pixel);
        }
      });
    });
  }
  return found;
}

function readReport(path, imageIds) {
  const { dataset } = open(path);
  const template = dataset.ContentTemplateSequence.TemplateIdentifier;
  const measurements = [dataset.ContentSequence].flat().find(named('126010'));
  const groups = [measurements?.ContentSequence ?? []].flat().filter(named('125007'));
  return { path, template, groups: groups.map((group) => readGroup(group, imageIds)) };
}

function named(code) {
  return (item) => [item.ConceptNameCodeSequence].flat()[0]?.CodeValue === code;
}

function readGroup(group, imageIds) {
  const items = [group.ContentSequence].flat();
  const numbers = items.filter((item) => item.ValueType === 'NUM').map(measured);
  return {
    trackingUid: items.find(named('112040')).UID,
    trackingIdentifier: items.find(named('112039')).TextValue,
    measurements: Object.fromEntries(numbers),
    segmentation: segmentationOf(items),
    outline: outlineOf(group, items, imageIds),
  };
}

function measured(item) {
  const value = [item.MeasuredValueSequence].flat()[0];
  const unit = [value.MeasurementUnitsCodeSequence].flat()[0].CodeValue;
  const name = [item.ConceptNameCodeSequence].flat()[0].CodeValue;
  return [name, [Number(value.NumericValue), unit]];
}

function segmentationOf(items) {
  const reference = [items.find(named('121214'))?.ReferencedSOPSequence ?? []].flat()[0];
  return (
    reference && {
      uid: reference.ReferencedSOPInstanceUID,
      frame: Number(reference.ReferencedFrameNumber),
    }
  );
}

// the adapter looks for the outline below the area, as Cornerstone itself writes it (TID 300)
function outlineOf(group, items, imageIds) {
  if (!items.find(named('42798000'))?.ContentSequence) {
    return undefined;
  }
  const state = PlanarFreehandROI.getMeasurementData(
    { ...group, ContentSequence: items },
    Object.fromEntries(imageIds.map((id) => [keyOf(images.get(id)), id])),
    metaData,
  );
  const { contour, frameNumber } = state.annotation.data;
  const { rowCosines, columnCosines } = images.get(imageIds[0]).imagePlaneModule;
  return {
    frame: Number(frameNumber),
    closed: contour.closed,
    points: contour.polyline.map((point) => [along(rowCosines, point), along(columnCosines, point)]),
    finding: state.finding.CodeMeaning,
    sites: state.findingSites.map((site) => site.CodeMeaning),
  };
}

function along(direction, point) {
  return direction.reduce((sum, cosine, axis) => sum + cosine * point[axis], 0);
}

function keyOf({ instance, frameNumber }) {
  return `${instance.SOPInstanceUID}:${frameNumber}`;
}

const answers = [];
for (const { source, segmentations, reports } of JSON.parse(readFileSync(0))) {
  const imageIds = register(open(source));
  const read = { source, segmentations: [], reports: reports.map((path) => readReport(path, imageIds)) };
  for (const path of segmentations) {
    read.segmentations.push(await readSegmentation(path, imageIds));
  }
  answers.push(read);
}
// timers of the viewer's own would keep the process waiting
process.stdout.write(JSON.stringify(answers), () => process.exit(0));
