// The page "Restore your own picture": what its scripts share, and how they get what is large.
//
// A page that was opened from a disk may load nothing but scripts. So the runtime, the models and
// the course's slices are packed into scripts when the book is built (book/_sphinx/your_picture.py),
// one each, and none is loaded before it is needed. Each calls yourPicture.packed(name, text), the
// text being base64 of a gzip stream.

var yourPicture = (() => {
  "use strict";

  const { element, loader } = liveFigures; // of the live figures, whose script every page has
  const script = loader(new URL("packed/", document.currentScript.src).href);
  const arrived = {}; // name -> text

  /** Return the packed text of a name; it is loaded once, and again only after a failure. */
  async function load(name) {
    await script(`${name}.js`);
    return arrived[name];
  }

  /** Return the bytes that were packed into a text. */
  async function unpack(text) {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  return {
    load,
    unpack,
    element,
    packed(name, text) {
      arrived[name] = text;
    },
  };
})();
