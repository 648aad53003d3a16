// A CT slice in a DICOM file, as the course's import reads it: Hounsfield units, then grey levels.
//
// The tags are read by dicom-parser, which is loaded with the first such file. Compressed pixels
// would need decoders of several megabytes: such files are refused.

yourPicture.dicom = (() => {
  "use strict";

  const { Refused } = yourPicture.headers;
  const PLAIN = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]; // little endian, implicit or explicit
  const AIR = -1000; // HU
  const ADVICE = "The course imports such files: python -m ippy import-dicom.";

  const starts = (bytes) => String.fromCharCode(...bytes.subarray(128, 132)) === "DICM";

  /** Return {pixels, width, height, notes} of a file's bytes. Throws Refused with a sentence. */
  async function read(bytes) {
    await yourPicture.load("dicom-parser");
    let data;
    try {
      data = dicomParser.parseDicom(bytes, { untilTag: "x7fe00010" });
    } catch {
      throw new Refused("The DICOM file is damaged or cut short.");
    }
    if (data.string("x00080060") !== "CT") throw new Refused("Of DICOM files only CT slices are read.");
    if (!PLAIN.includes(data.string("x00020010"))) {
      throw new Refused(`The pixels of this DICOM file are compressed. ${ADVICE}`);
    }
    const word = (tag) => data.uint16(tag);
    const [height, width] = [word("x00280010"), word("x00280011")];
    const [slope, intercept] = [data.floatString("x00281053"), data.floatString("x00281052")];
    const described = width && height && slope && intercept !== undefined;
    if (!described || word("x00280002") !== 1 || word("x00280100") !== 16) {
      throw new Refused(`This DICOM file holds no plain CT slice. ${ADVICE}`);
    }
    const values = stored(bytes, data, width * height);
    const [centre, range] = yourPicture.facts.window, padding = paddingOf(data);
    const pixels = Float32Array.from(values, (value) => {
      const units = padding(value) ? AIR : value * slope + intercept;
      return Math.min(1, Math.max(0, (units - (centre - range / 2)) / range));
    });
    const [low, high] = [centre - range / 2, centre + range / 2];
    const notes = [`A CT slice: ${low} HU is black, ${high} HU is white.`];
    if (data.intString("x00280008") > 1) notes.push("Of its images the first was taken.");
    return { pixels, width, height, notes };
  }

  /** Return the stored values: of each word of 16 bits those that the header says, with their sign. */
  function stored(bytes, data, count) {
    const element = data.elements.x7fe00010, start = element?.dataOffset;
    if (!element || start + 2 * count > bytes.length) {
      throw new Refused("The DICOM file is cut short: pixels are missing.");
    }
    const words = new DataView(bytes.buffer, bytes.byteOffset + start, 2 * count);
    const kept = data.uint16("x00280101") ?? 16, high = data.uint16("x00280102") ?? kept - 1;
    if (!(kept >= 1 && kept <= high + 1 && high <= 15)) {
      throw new Refused("The header of the DICOM file contradicts itself: its stored bits don't fit.");
    }
    const signed = data.uint16("x00280103") === 1;
    return Int32Array.from({ length: count }, (_, i) => {
      const raised = words.getUint16(2 * i, true) << (31 - high); // the highest kept bit leads
      return signed ? raised >> (32 - kept) : raised >>> (32 - kept);
    });
  }

  /** Return what says whether a stored value is padding: what is outside the scanner's circle. */
  function paddingOf(data) {
    const number = (tag) => (data.uint16("x00280103") === 1 ? data.int16(tag) : data.uint16(tag));
    const one = number("x00280120"), other = number("x00280121") ?? one;
    if (one === undefined) return () => false;
    return (value) => value >= Math.min(one, other) && value <= Math.max(one, other);
  }

  return { read, starts };
})();
