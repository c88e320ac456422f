// The ops of restore/ops/blocks.py and tiles.py on CUDA: checks of everything that could read or write out of bounds,
// allocation, dispatch.  Elsewhere those files' references serve.
#ifdef RESTORE_WITH_CUDA
#include "small.h"
#include "torch_side.h"

#include <array>
#include <tuple>

namespace {

using namespace restore;
using Guard = DeviceGuard;

int checked(int64_t v, const char* name) {
  STD_TORCH_CHECK(v >= 0 && v <= INT32_MAX, name, " must lie in an int32, got ", v);
  return int(v);
}

Tensor rows_of(const Tensor& like, const Tensor& t, const char* name, int64_t columns) {
  check_same_device(like, t, name);
  STD_TORCH_CHECK(t.scalar_type() == ScalarType::Int && t.dim() == 2 && t.size(1) == columns, name,
                  " must be int32 with ", columns, " columns");
  return torch::stable::contiguous(t);
}

TileNumber number_of(ScalarType type) {
  switch (type) {
    case ScalarType::Half: return TileNumber::half;
    case ScalarType::BFloat16: return TileNumber::bf16;
    case ScalarType::Float: return TileNumber::single;
    default: STD_TORCH_CHECK(false, "tiles must be float16, bfloat16 or float32");
  }
}

PictureShape shape_of(const Tensor& t, const char* name) {
  const ScalarType type = t.scalar_type();
  STD_TORCH_CHECK(t.dim() == 3 && (type == ScalarType::Byte || type == ScalarType::UInt16), name,
                  " must be (H, W, C), uint8 or uint16");
  return {checked(t.size(0), name), checked(t.size(1), name), checked(t.size(2), name),
          t.stride(0),              t.stride(1),              t.stride(2),
          type == ScalarType::UInt16};
}

std::tuple<Tensor, Tensor> active_blocks_op(const Tensor& valid, int64_t pad_px, int64_t scale) {
  const ScalarType type = valid.scalar_type();
  STD_TORCH_CHECK(valid.dim() == 4 && valid.size(1) == 1, "valid must be (N, 1, H, W)");
  STD_TORCH_CHECK(type == ScalarType::Bool || type == ScalarType::Byte, "valid must be bool or uint8");
  STD_TORCH_CHECK(scale >= 1 && scale <= INT32_MAX && pad_px >= 0, "scale must be >= 1 and pad_px >= 0");
  const Guard guard(valid.get_device_index());
  const Tensor plane = torch::stable::contiguous(valid);
  ActiveBlocks p;
  p.plane = static_cast<const uint8_t*>(plane.const_data_ptr());
  p.n = checked(valid.size(0), "N"), p.height = checked(valid.size(2), "H"), p.width = checked(valid.size(3), "W");
  p.scale = int(scale);
  p.pad_px = int(pad_px < INT32_MAX ? pad_px : INT32_MAX);
  STD_TORCH_CHECK(valid.size(2) * scale <= INT32_MAX && valid.size(3) * scale <= INT32_MAX, "the result is too large");
  const int64_t blocks = int64_t(p.n) * p.rows() * p.columns();
  STD_TORCH_CHECK(blocks <= INT32_MAX, "too many blocks");
  const Tensor list = torch::stable::new_empty(valid, {blocks}, ScalarType::Int);
  const Tensor count = torch::stable::new_empty(valid, {1}, ScalarType::Int);
  const Tensor flags = torch::stable::new_empty(valid, {blocks}, ScalarType::Byte);
  p.flags = static_cast<uint8_t*>(flags.mutable_data_ptr());
  p.list = static_cast<int32_t*>(list.mutable_data_ptr());
  p.count = static_cast<int32_t*>(count.mutable_data_ptr());
  check_launch(restore::active_blocks(p, current_stream(valid)));
  return {list, count};
}

Tensor gather_tiles_op(const Tensor& picture, const Tensor& corners, int64_t height, int64_t width, bool wrap_y,
                       bool wrap_x, int64_t channels, ScalarType dtype, bool grey_as_rgb) {
  GatherTiles p;
  p.shape = shape_of(picture, "picture");
  p.number = number_of(dtype);
  const Guard guard(picture.get_device_index());
  const Tensor places = rows_of(picture, corners, "corners", 2);
  p.count = checked(places.size(0), "T"), p.height = checked(height, "height"), p.width = checked(width, "width");
  p.channels = checked(channels, "channels");
  const bool grey = grey_as_rgb && p.shape.channels == 1;
  STD_TORCH_CHECK(channels >= (grey ? 3 : p.shape.channels), "tiles must have room for the picture's channels");
  const std::array<int64_t, 4> size{p.count, channels, height, width};
  const Tensor tiles = torch::stable::empty({size.data(), size.size()}, dtype, std::nullopt, picture.device(),
                                            std::nullopt, MemoryFormat::ChannelsLast);
  p.picture = picture.const_data_ptr();
  p.corners = static_cast<const int32_t*>(places.const_data_ptr());
  p.wrap_y = wrap_y, p.wrap_x = wrap_x, p.grey_as_rgb = grey;
  p.tiles = tiles.mutable_data_ptr();
  check_launch(restore::gather_tiles(p, current_stream(picture)));
  return tiles;
}

void scatter_tiles_op(const Tensor& canvas, const Tensor& tiles, const Tensor& corners, const Tensor& keeps,
                      int64_t feather_px) {
  ScatterTiles p;
  p.shape = shape_of(canvas, "canvas");
  p.number = number_of(tiles.scalar_type());
  check_same_device(canvas, tiles, "tiles");
  STD_TORCH_CHECK(tiles.dim() == 4 && tiles.size(1) >= canvas.size(2), "tiles must be (T, C, h, w) with all channels");
  const Guard guard(canvas.get_device_index());
  const Tensor dense = torch::stable::contiguous(tiles, MemoryFormat::ChannelsLast);
  const Tensor places = rows_of(canvas, corners, "corners", 2), kept = rows_of(canvas, keeps, "keeps", 4);
  STD_TORCH_CHECK(places.size(0) == tiles.size(0) && kept.size(0) == tiles.size(0), "a corner and a keep for each");
  p.count = checked(tiles.size(0), "T"), p.channels = checked(tiles.size(1), "C");
  p.height = checked(tiles.size(2), "h"), p.width = checked(tiles.size(3), "w");
  p.canvas = canvas.mutable_data_ptr();
  p.tiles = dense.const_data_ptr();
  p.corners = static_cast<const int32_t*>(places.const_data_ptr());
  p.keeps = static_cast<const int32_t*>(kept.const_data_ptr());
  p.feather_px = checked(feather_px, "feather_px");
  check_launch(restore::scatter_tiles(p, current_stream(canvas)));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(restore, RESTORE_KERNEL_KEY, m) {
  m.impl("active_blocks", TORCH_BOX(&active_blocks_op));
  m.impl("gather_tiles", TORCH_BOX(&gather_tiles_op));
  m.impl("scatter_tiles", TORCH_BOX(&scatter_tiles_op));
}
#endif
