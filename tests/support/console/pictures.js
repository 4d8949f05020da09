// The share of two PNGs that differs, of blocks of 4 × 4 pixels: one does where its mean is another by more than 8
// of 255. Pictures of other sizes differ wholly.
async ([one, other]) => {
  const pixels = async (said) => {
    const image = await createImageBitmap(new Blob([Uint8Array.from(atob(said), (one) => one.charCodeAt(0))]));
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, image.width, image.height);
  };
  const [first, second] = [await pixels(one), await pixels(other)];
  if (first.width !== second.width || Math.abs(first.height - second.height) > 8) return 1;
  const mean = ({ data, width }, left, top) => {
    let sum = 0;
    for (let y = top; y < top + 4; y++) for (let x = left; x < left + 4; x++) for (let c = 0; c < 3; c++) sum += data[4 * (y * width + x) + c];
    return sum / 48;
  };
  let differing = 0, all = 0;
  for (let top = 0; top + 4 <= Math.min(first.height, second.height); top += 4)
    for (let left = 0; left + 4 <= first.width; left += 4) {
      all += 1;
      if (Math.abs(mean(first, left, top) - mean(second, left, top)) > 8) differing += 1;
    }
  return differing / all;
}
