// A file that is dropped or chosen becomes the value of the component, in base64: nothing is uploaded.
const label = element.querySelector("label"), chosen = label.querySelector("input");
const shown = label.querySelector(".shown"), empty = shown.textContent;
let current = null;  // the file that was given last

function tell(value, ...parts) {
  shown.replaceChildren(...parts);
  props.value = value;
  trigger("change");
}

function take(file) {
  if (!file) return;
  current = file;
  if (file.size > props.most) {
    const [has, most] = [file.size, props.most].map((bytes) => (bytes / 1e6).toFixed(1));
    tell("", `${file.name} has ${has} MB; at most ${most} are taken.`);
    return;
  }
  const reader = new FileReader();
  reader.onerror = () => current === file && tell("", `${file.name} cannot be read.`);
  reader.onload = () => {
    if (current !== file) return;
    const base64 = reader.result.slice(reader.result.indexOf(",") + 1);
    tell(JSON.stringify({ base64 }), file.name, clearing(), ...preview(file));
  };
  reader.readAsDataURL(file);
}

function clearing() {
  const clear = document.createElement("button");
  clear.type = "button";
  clear.textContent = "clear";
  clear.onclick = (event) => {
    event.preventDefault();
    chosen.value = "";
    current = null;
    tell("", empty);
  };
  return clear;
}

function preview(file) {
  const kind = file.type.split("/")[0];
  if (!["image", "audio", "video"].includes(kind)) return [];
  const media = document.createElement(kind === "image" ? "img" : kind);
  media.src = URL.createObjectURL(file);
  media.controls = true;
  media.alt = "";
  media.onload = () => media.classList.toggle("small", media.naturalWidth < 128);
  media.onerror = () => media.remove();
  return [media];
}

chosen.addEventListener("change", () => take(chosen.files[0]));
label.addEventListener("dragover", (event) => { event.preventDefault(); label.classList.add("over"); });
label.addEventListener("dragleave", () => label.classList.remove("over"));
label.addEventListener("drop", (event) => {
  event.preventDefault();
  label.classList.remove("over");
  take(event.dataTransfer.files[0]);
});
