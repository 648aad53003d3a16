// The page "Restore your own picture": what its scripts share, and how they get what is large.
//
// A page that was opened from a disk may load nothing but scripts. So the runtime, the models and
// the course's slices are packed into scripts when the book is built (book/_sphinx/your_picture.py),
// one each, and none is loaded before it is needed. Each calls yourPicture.packed(name, text), the
// text being base64 of a gzip stream.

var yourPicture = (() => {
  "use strict";

  const folder = new URL("packed/", document.currentScript.src).href;
  const arrived = {}; // name -> text
  const loading = {}; // name -> promise of the text

  /** Return the packed text of a name; it is loaded once, and again only after a failure. */
  function load(name) {
    loading[name] ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${folder}${name}.js`;
      script.onload = () => resolve(arrived[name]);
      script.onerror = () => {
        delete loading[name];
        script.remove();
        reject(new Error(`${name}.js could not be loaded`));
      };
      document.head.append(script);
    });
    return loading[name];
  }

  /** Return the bytes that were packed into a text. */
  async function unpack(text) {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  /** Make an element; a property that it does not know becomes an attribute. */
  function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in made) made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
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
