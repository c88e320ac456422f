// masked_conv2d and masked_conv2d_into for torch: checks, allocation, choice of kernel, registration.
// Python (restore/ops/masked_conv.py) owns the schemas; a change of one raises INTERFACE there.
#include "conv_args.h"
#include "masked_conv2d.h"
#include "torch_side.h"

#include <array>
#include <tuple>

namespace restore {
namespace {

Element element_of(const Tensor& x) {
  switch (x.scalar_type()) {
    case ScalarType::Half: return Element::f16;
    case ScalarType::BFloat16: return Element::bf16;
    case ScalarType::Float: return Element::f32;
    case ScalarType::Double: return Element::f64;
    default: STD_TORCH_CHECK(false, "x must be float16, bfloat16, float32 or float64");
  }
}

Tensor empty_channels_last(const Tensor& like, std::array<int64_t, 4> size) {
  return torch::stable::empty({size.data(), size.size()}, like.scalar_type(), std::nullopt, like.device(), std::nullopt,
                              MemoryFormat::ChannelsLast);
}

// Elements from one pixel to the next; the stride of an axis of one element says nothing.
int64_t pixel_of(const Tensor& t) {
  if (t.size(3) > 1) return t.stride(3);
  if (t.size(2) > 1) return t.stride(2);
  return t.size(0) > 1 ? t.stride(0) : t.size(1);
}

// Pixels lie one after the other, channels side by side: channels_last memory, or a slice of its channels.
bool has_pixels(const Tensor& t) {
  const int64_t n = t.size(0), c = t.size(1), h = t.size(2), w = t.size(3), pixel = pixel_of(t);
  return (c == 1 || t.stride(1) == 1) && pixel >= c && (h == 1 || t.stride(2) == pixel * w) &&
         (n == 1 || t.stride(0) == pixel * w * h);
}

Tensor as_pixels(const Tensor& t) {
  return has_pixels(t) ? t : torch::stable::contiguous(t, MemoryFormat::ChannelsLast);
}

// A picture and what of it is known, checked and in the memory order that the kernels read.
struct Picture {
  Tensor x, valid;
  int64_t n, channels, h, w;  // as stored
  int64_t pixel;              // elements from one pixel to the next
  bool doubled;

  Picture(const char* name, const Tensor& pixels, const OptionalTensor& known, bool is_doubled, const Tensor& like)
      : x(pixels), valid(pixels), doubled(is_doubled) {
    STD_TORCH_CHECK(pixels.dim() == 4, name, " must be (N, C, H, W)");
    x = as_pixels(pixels);
    STD_TORCH_CHECK(pixels.scalar_type() == like.scalar_type(), name, " must be of x's type");
    check_same_device(like, pixels, name);
    n = pixels.size(0), channels = pixels.size(1), h = pixels.size(2), w = pixels.size(3);
    pixel = has_pixels(x) ? pixel_of(x) : channels;
    if (!known.has_value()) return;
    STD_TORCH_CHECK(known->scalar_type() == ScalarType::Bool, name, ": valid must be bool");
    STD_TORCH_CHECK(known->dim() == 4 && known->size(0) == n && known->size(1) == 1 && known->size(2) == h &&
                        known->size(3) == w,
                    name, ": valid must be (N, 1, H, W), like it");
    check_same_device(like, *known, "valid");
    valid = torch::stable::contiguous(*known);
  }
  const uint8_t* known() const { return static_cast<const uint8_t*>(valid.const_data_ptr()); }
  int64_t height() const { return h << doubled; }
  int64_t width() const { return w << doubled; }
};

// What both ops have in common.
struct Layer {
  Picture x;
  std::optional<Picture> skip;
  Tensor weight;
  OptionalTensor bias;  // fp32, or double beside double
  int64_t stride, padding;
  double slope;
  bool masked;
  int64_t k, kernel_h, kernel_w, out_h, out_w;

  Layer(const Tensor& pixels, const OptionalTensor& valid, const Tensor& filters, const OptionalTensor& offsets,
        int64_t stride_, int64_t padding_, const OptionalTensor& skip_pixels, const OptionalTensor& skip_valid,
        bool doubled, double slope_)
      : x("x", pixels, valid, doubled, pixels),
        weight(filters),
        stride(stride_),
        padding(padding_),
        slope(slope_),
        masked(valid.has_value()) {
    int64_t inputs = x.channels;
    if (skip_pixels.has_value()) {
      STD_TORCH_CHECK(masked == skip_valid.has_value(), "skip comes with its validity");
      skip.emplace("skip", *skip_pixels, skip_valid, false, pixels);
      STD_TORCH_CHECK(skip->n == x.n && skip->h == x.height() && skip->w == x.width(), "skip must be of x's size");
      inputs += skip->channels;
    }
    STD_TORCH_CHECK(weight.dim() == 4 && weight.scalar_type() == pixels.scalar_type() && weight.size(1) == inputs,
                    "weight must be of x's type and channels");
    check_same_device(pixels, weight, "weight");
    STD_TORCH_CHECK(stride >= 1 && padding >= 0, "stride must be >= 1 and padding >= 0");
    k = weight.size(0), kernel_h = weight.size(2), kernel_w = weight.size(3);
    const int64_t span_h = x.height() + 2 * padding - kernel_h, span_w = x.width() + 2 * padding - kernel_w;
    STD_TORCH_CHECK(kernel_h >= 1 && kernel_w >= 1 && span_h >= 0 && span_w >= 0,
                    "the kernel is larger than the padded picture");
    STD_TORCH_CHECK(kernel_h * kernel_w * inputs <= INT32_MAX, "the window holds too many numbers");
    out_h = span_h / stride + 1, out_w = span_w / stride + 1;
    if (offsets.has_value()) {
      STD_TORCH_CHECK(offsets->dim() == 1 && offsets->size(0) == k, "bias must have one value a filter");
      check_same_device(pixels, *offsets, "bias");
      const ScalarType sums = pixels.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
      bias = torch::stable::contiguous(torch::stable::to(*offsets, sums));
    }
  }
};

#ifdef RESTORE_WITH_CUDA
bool suits_tensor_cores(const Layer& layer) {
  const ScalarType type = layer.x.x.scalar_type();
  return (type == ScalarType::Half || type == ScalarType::BFloat16) && layer.kernel_h == layer.kernel_w &&
         layer.kernel_h <= 7 && layer.stride <= 2 && layer.padding <= layer.kernel_h && layer.x.n > 0 &&
         layer.x.channels > 0 && layer.k > 0;
}

Source source_of(const Picture& picture, bool masked) {
  Source s;
  s.data = picture.x.const_data_ptr();
  s.valid = masked ? picture.known() : nullptr;
  s.at = {0, int(picture.h)};
  s.channels = int(picture.channels);
  s.pixel = int(picture.pixel);
  s.width = int(picture.w);
  s.doubled = picture.doubled;
  return s;
}

Conv conv_of(const Layer& layer) {
  STD_TORCH_CHECK(layer.x.n * layer.out_h * layer.out_w <= INT32_MAX, "too many pixels for one call");
  Conv c;
  c.a = source_of(layer.x, layer.masked);
  if (layer.skip) c.b = source_of(*layer.skip, layer.masked);
  c.n = int(layer.x.n), c.height = int(layer.x.height()), c.width = int(layer.x.width());
  c.kernel = int(layer.kernel_h), c.stride = int(layer.stride), c.padding = int(layer.padding);
  c.bias = layer.bias ? static_cast<const float*>(layer.bias->const_data_ptr()) : nullptr;
  c.slope = float(layer.slope);
  c.out_height = c.row_end = int(layer.out_h), c.out_width = int(layer.out_w), c.channels = int(layer.k);
  return c;
}

// Packs the weights (a launch of some microseconds) and convolves.
void run_on_tensor_cores(Conv& c, const Layer& layer) {
  void* stream = current_stream(layer.x.x);
  const Packing packing{c.kernel, c.channels, c.a.channels, c.b.channels, c.stride};
  const Tensor plain = torch::stable::contiguous(layer.weight);
  const Tensor packed = torch::stable::new_empty(layer.weight, {packing.elements()});
  check_launch(pack_weights(static_cast<const uint16_t*>(plain.const_data_ptr()),
                            static_cast<uint16_t*>(packed.mutable_data_ptr()), packing, stream));
  c.weights = packed.const_data_ptr();
  const int64_t numbers = conv_room(c);
  const Tensor room = torch::stable::new_empty(layer.weight, {numbers}, ScalarType::Float);
  c.room = numbers > 0 ? static_cast<float*>(room.mutable_data_ptr()) : nullptr;
  check_launch(layer.x.x.scalar_type() == ScalarType::Half ? conv_half(c, stream) : conv_bf16(c, stream));
}
#endif

void select(const Picture& picture, Tensor& out, int64_t at_channel) {
  const int64_t size = int64_t(out.element_size());
  const Select a{picture.x.const_data_ptr(), picture.known(),
                 static_cast<char*>(out.mutable_data_ptr()) + at_channel * size, picture.n, picture.height(),
                 picture.width(), picture.channels * size, picture.pixel * size, out.size(1) * size,
                 picture.doubled};
#if defined(RESTORE_WITH_CUDA) && !defined(RESTORE_EMULATED)
  if (out.is_cuda()) return check_launch(select_cuda(a, current_stream(out)));
#endif
  constexpr int64_t kPixelsPerThread = 4096;
  torch::stable::parallel_for(0, a.pixels(), kPixelsPerThread,
                              [&](int64_t begin, int64_t end) { select_cpu(a, begin, end); });
}

void renormalise(const Renormalise& a, const Tensor& x) {
#if defined(RESTORE_WITH_CUDA) && !defined(RESTORE_EMULATED)
  if (x.is_cuda()) return check_launch(renormalise_cuda(a, current_stream(x)));
#endif
  constexpr int64_t kRowsPerThread = 8;
  torch::stable::parallel_for(0, a.n * a.out_h, kRowsPerThread,
                              [&](int64_t begin, int64_t end) { renormalise_cpu(a, begin, end); });
}

// torch's own convolution: oneDNN or cuDNN.
Tensor conv2d(const Tensor& x, const Tensor& weight, int64_t stride, int64_t padding) {
  const std::array<int64_t, 2> strides{stride, stride}, paddings{padding, padding}, dilations{1, 1};
  using Ints = torch::headeronly::IntHeaderOnlyArrayRef;
  using torch::stable::detail::from;
  std::array<StableIValue, 7> stack{from(x),
                                    from(weight),
                                    from(OptionalTensor()),
                                    from(Ints(strides.data(), strides.size())),
                                    from(Ints(paddings.data(), paddings.size())),
                                    from(Ints(dilations.data(), dilations.size())),
                                    from(int64_t(1))};
  TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::conv2d", "", stack.data(), TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}

std::tuple<Tensor, Tensor> masked_conv2d(const Tensor& x, const Tensor& valid, const Tensor& weight,
                                         const OptionalTensor& bias, int64_t stride, int64_t padding,
                                         const OptionalTensor& skip, const OptionalTensor& skip_valid, bool doubled,
                                         double slope) {
  std::optional<DeviceGuard> guard;
  if (x.is_cuda()) guard.emplace(x.get_device_index());
  const Layer layer(x, valid, weight, bias, stride, padding, skip, skip_valid, doubled, slope);
  const int64_t n = layer.x.n, h = layer.x.height(), w = layer.x.width();
  const Tensor valid_out = torch::stable::new_empty(valid, {n, 1, layer.out_h, layer.out_w});
  uint8_t* const valid_to = static_cast<uint8_t*>(valid_out.mutable_data_ptr());
#ifdef RESTORE_WITH_CUDA
  if (kernels_serve(x) && suits_tensor_cores(layer)) {
    const Tensor y = empty_channels_last(x, {n, layer.k, layer.out_h, layer.out_w});
    Conv c = conv_of(layer);
    c.y.data = y.mutable_data_ptr();
    c.y.valid = valid_to;
    c.y.at = {0, c.out_height};
    c.y.pixel = c.channels;
    run_on_tensor_cores(c, layer);
    return {y, valid_out};
  }
#endif
  const int64_t skipped = layer.skip ? layer.skip->channels : 0;
  Tensor known = empty_channels_last(x, {n, layer.x.channels + skipped, h, w});
  select(layer.x, known, 0);
  if (layer.skip) select(*layer.skip, known, layer.x.channels);
  // Under autocast torch may convolve in a narrower type; the result has x's type all the same.
  const Tensor raw = torch::stable::to(conv2d(known, weight, stride, padding), x.scalar_type());
  const Tensor y = torch::stable::contiguous(raw, MemoryFormat::ChannelsLast);
  const Known first{layer.x.known(), layer.x.channels, doubled};
  const Known second{layer.skip ? layer.skip->known() : nullptr, skipped, false};
  renormalise({y.mutable_data_ptr(), first, second, layer.bias ? layer.bias->const_data_ptr() : nullptr, valid_to, n, h,
               w, layer.out_h, layer.out_w, layer.k, layer.kernel_h, layer.kernel_w, stride, padding, slope,
               element_of(x)},
              x);
  return {y, valid_out};
}

#ifdef RESTORE_WITH_CUDA
// Blocks run in any order, so what is read must not be written: in one buffer, other channels.
void check_apart(const Picture& source, const Conv& c) {
  const char* read = static_cast<const char*>(source.x.const_data_ptr());
  const char* write = static_cast<const char*>(c.y.data);
  const int64_t size = 2, pixel = int64_t(c.y.pixel) * size;
  const int64_t read_bytes = source.n * source.h * source.w * source.pixel * size;
  const int64_t write_bytes = int64_t(c.n) * c.out_height * c.out_width * pixel;
  if (read >= write + write_bytes || write >= read + read_bytes) return;
  const int64_t at = ((read - write) % pixel + pixel) % pixel;  // first channel read, counted from the first written
  const bool same_pixels = source.pixel == c.y.pixel && at >= c.channels * size &&
                           at + source.channels * size <= pixel;
  STD_TORCH_CHECK(same_pixels, "y overlaps what is read");
}

// `held` keeps the memory that the launch reads.
Residual residual_of(const OptionalTensor& addend, double factor, const Layer& layer, const Tensor& y, Tensor& held) {
  Residual r;
  if (!addend.has_value()) return r;
  STD_TORCH_CHECK(addend->dim() == 4 && addend->size(0) == layer.x.n && addend->size(1) == layer.k &&
                      addend->size(2) == layer.out_h && addend->size(3) == layer.out_w &&
                      addend->scalar_type() == y.scalar_type(),
                  "a residual must be like the result");
  check_same_device(y, *addend, "a residual");
  held = as_pixels(*addend);
  r.data = held.const_data_ptr();
  r.at = {0, int(layer.out_h)};
  r.pixel = int(has_pixels(held) ? pixel_of(held) : layer.k);
  r.factor = float(factor);
  return r;
}

const int32_t* ints_of(const OptionalTensor& t, const Tensor& y, int64_t least) {
  if (!t.has_value()) return nullptr;
  STD_TORCH_CHECK(t->scalar_type() == ScalarType::Int && t->dim() == 1 && t->stride(0) == 1 && t->size(0) >= least,
                  "an active list and its count are int32 vectors");
  check_same_device(y, *t, "an active list");
  return static_cast<const int32_t*>(t->const_data_ptr());
}

void masked_conv2d_into(Tensor y, OptionalTensor valid_out, int64_t at_channel, const Tensor& x,
                        const OptionalTensor& valid, const Tensor& weight, const OptionalTensor& bias, int64_t stride,
                        int64_t padding, const OptionalTensor& skip, const OptionalTensor& skip_valid, bool doubled,
                        double slope, const OptionalTensor& first, double first_factor, const OptionalTensor& second,
                        double second_factor, const OptionalTensor& active, const OptionalTensor& active_count) {
  const DeviceGuard guard(x.get_device_index());
  const Layer layer(x, valid, weight, bias, stride, padding, skip, skip_valid, doubled, slope);
  STD_TORCH_CHECK(suits_tensor_cores(layer), "no kernel for this convolution");
  STD_TORCH_CHECK(y.dim() == 4 && y.size(0) == layer.x.n && y.size(2) == layer.out_h && y.size(3) == layer.out_w &&
                      at_channel >= 0 && at_channel + layer.k <= y.size(1) && y.scalar_type() == x.scalar_type(),
                  "y has no room for the result");
  check_same_device(x, y, "y");
  STD_TORCH_CHECK(has_pixels(y), "y must be in channels_last memory");
  Conv c = conv_of(layer);
  c.y.data = static_cast<uint16_t*>(y.mutable_data_ptr()) + at_channel;
  c.y.at = {0, c.out_height};
  c.y.pixel = int(pixel_of(y));
  if (valid_out.has_value()) {
    STD_TORCH_CHECK(valid_out->scalar_type() == ScalarType::Bool && valid_out->numel() == layer.x.n * layer.out_h * layer.out_w &&
                        valid_out->is_contiguous(),
                    "valid_out must be bool, (N, 1, H, W)");
    check_same_device(x, *valid_out, "valid_out");
    c.y.valid = static_cast<uint8_t*>(valid_out->mutable_data_ptr());
  }
  Tensor first_held, second_held;
  c.first = residual_of(first, first_factor, layer, y, first_held);
  c.second = residual_of(second, second_factor, layer, y, second_held);
  c.active = ints_of(active, y, 0);
  c.active_length = active.has_value() ? int(active->size(0)) : 0;
  check_apart(layer.x, c);
  if (layer.skip) check_apart(*layer.skip, c);
  STD_TORCH_CHECK(c.y.valid == nullptr || (c.y.valid != c.a.valid && c.y.valid != c.b.valid),
                  "valid_out must not be what is read");
  c.active_count = ints_of(active_count, y, 1);
  run_on_tensor_cores(c, layer);
}
#endif

}  // namespace
}  // namespace restore

STABLE_TORCH_LIBRARY_IMPL(restore, CPU, m) { m.impl("masked_conv2d", TORCH_BOX(&restore::masked_conv2d)); }
#ifdef RESTORE_WITH_CUDA
STABLE_TORCH_LIBRARY_IMPL(restore, RESTORE_KERNEL_KEY, m) {
#ifndef RESTORE_EMULATED
  m.impl("masked_conv2d", TORCH_BOX(&restore::masked_conv2d));
#endif
  m.impl("masked_conv2d_into", TORCH_BOX(&restore::masked_conv2d_into));
}
#endif

// What was compiled, as "key=value" lines; read by restore/ops/library.py through ctypes.
extern "C" __attribute__((visibility("default"))) const char* restore_ops_facts() { return RESTORE_FACTS; }
