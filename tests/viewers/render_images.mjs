// What dcmjs-imaging makes of DICOM files: node render_images.mjs < [path]
//
// Answers in JSON, for each file: its frames as {width, height, frames: [RGB in base64]}, or {error}.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { DicomImage, NativePixelDecoder } = createRequire(import.meta.url)('dcmjs-imaging');

function render(path) {
  const bytes = readFileSync(path);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const image = new DicomImage(buffer);
  const frames = Array.from({ length: image.getNumberOfFrames() }, (_, frame) => {
    const pixels = new Uint8Array(image.render({ frame }).pixels); // RGBA
    return Buffer.from(pixels.filter((_, index) => index % 4 < 3)).toString('base64');
  });
  return { width: image.getWidth(), height: image.getHeight(), frames };
}

await NativePixelDecoder.initializeAsync();
const answers = JSON.parse(readFileSync(0)).map((path) => {
  try {
    return render(path);
  } catch (error) {
    return { error: error.message };
  }
});
process.stdout.write(JSON.stringify(answers));
