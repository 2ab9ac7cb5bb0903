// One film of H.264 pictures as an MP4: the boxes that players need (ISO/IEC 14496-12 and -15), in the order in which a film
// can be played while it is still being loaded.

const Mp4 = (() => {
  const u16 = (value) => [value >> 8 & 255, value & 255];
  const u32 = (value) => [value >>> 24, value >> 16 & 255, value >> 8 & 255, value & 255];
  const text = (letters) => [...letters].map((letter) => letter.charCodeAt(0));
  const zeros = (count) => Array(count).fill(0);
  const TICKS = 512;  // of the clock, a picture: all last equally long
  const UNITY = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].flatMap(u32);  // the matrix that turns nothing

  function joined(parts) {
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
  function box(name, ...parts) {
    const content = joined(parts);
    return joined([u32(content.length + 8), text(name), content]);
  }
  const fullBox = (name, flags, ...parts) => box(name, u32(flags), ...parts);  // of version 0

  // As WebCodecs names them → their numbers (ISO/IEC 23091-2): without them players guess the colors of a film.
  const PRIMARIES = { bt709: 1, bt470bg: 5, smpte170m: 6 };
  const TRANSFER = { bt709: 1, smpte170m: 6, "iec61966-2-1": 13 };
  const MATRIX = { rgb: 0, bt709: 1, bt470bg: 5, smpte170m: 6 };
  function colors(space) {
    const numbers = space && [PRIMARIES[space.primaries], TRANSFER[space.transfer], MATRIX[space.matrix]];
    if (!numbers || numbers.includes(undefined)) return [];
    return box("colr", text("nclx"), ...numbers.map(u16), [space.fullRange ? 128 : 0]);
  }

  // How the pictures are coded; `description` is what the box avcC has in it.
  function coding({ width, height, description, colorSpace }) {
    const avc1 = box("avc1", zeros(6), u16(1), zeros(16), u16(width), u16(height), u32(0x480000), u32(0x480000), zeros(4),
      u16(1), zeros(32), u16(24), u16(0xffff), box("avcC", description), colors(colorSpace));
    return fullBox("stsd", 0, u32(1), avc1);
  }

  // Where each picture lies, and which can be jumped to. They lie one after the other, from `start` on.
  function table(film, start) {
    const { samples } = film, keys = samples.flatMap(({ key }, number) => key ? [number + 1] : []);
    return box("stbl", coding(film),
      fullBox("stts", 0, u32(1), u32(samples.length), u32(TICKS)),
      fullBox("stss", 0, u32(keys.length), ...keys.map(u32)),
      fullBox("stsc", 0, u32(1), u32(1), u32(samples.length), u32(1)),
      fullBox("stsz", 0, u32(0), u32(samples.length), ...samples.map(({ data }) => u32(data.length))),
      fullBox("stco", 0, u32(1), u32(start)));
  }

  function heading(film, start) {
    const { width, height, rate, samples } = film, clock = u32(rate * TICKS), length = u32(samples.length * TICKS);
    const data = box("dinf", fullBox("dref", 0, u32(1), fullBox("url ", 1)));  // in this very file
    const media = box("mdia",
      fullBox("mdhd", 0, zeros(8), clock, length, u16(0x55c4), zeros(2)),  // no language
      fullBox("hdlr", 0, zeros(4), text("vide"), zeros(12), [0]),
      box("minf", fullBox("vmhd", 1, zeros(8)), data, table(film, start)));
    const track = box("trak",
      fullBox("tkhd", 3, zeros(8), u32(1), zeros(4), length, zeros(16), UNITY, u32(width << 16), u32(height << 16)), media);
    return box("moov",
      fullBox("mvhd", 0, zeros(8), clock, length, u32(0x10000), u16(0x100), zeros(10), UNITY, zeros(24), u32(2)), track);
  }

  // film: width, height [pixels], rate [pictures a second], description and colorSpace as WebCodecs gives them, samples: what
  // was coded, in the order in which it is shown, as {data: Uint8Array, key: boolean}.
  function fileOf(film) {
    const kind = box("ftyp", text("isom"), u32(0x200), text("isomiso2avc1mp41"));
    const start = kind.length + heading(film, 0).length + 8;
    const pictures = box("mdat", ...film.samples.map(({ data }) => data));
    return new Blob([kind, heading(film, start), pictures], { type: "video/mp4" });
  }
  return { fileOf };
})();
