// From sums in registers to pixels in memory: ratio, bias, activation, residuals, narrowing, update of validity.
#pragma once

#include "conv_tile.h"

namespace restore {

template <class E>
RESTORE_DEVICE void add_residual(float (&y)[2], const Residual& r, int64_t pixel, int channel, bool there) {
  if (r.data == nullptr) return;
  uint32_t two = 0;
  if (there) two = *reinterpret_cast<const uint32_t*>(static_cast<const uint16_t*>(r.data) + pixel * r.pixel + channel);
  y[0] = E::number(uint16_t(two)) + r.factor * y[0];
  y[1] = E::number(uint16_t(two >> 16)) + r.factor * y[1];
}

// One warp: ROWS rows of 16 pixels x 16 * PAIRS channels.  A lane holds two neighbouring channels of two pixels of each
// 16 x 8 sum; four lanes trade theirs by shuffles, so that each ends with 8 channels of one pixel and stores 16 bytes:
//
//     lane t before:   channels 2t, 2t + 1 of sums 0 1 2 3          lane t after:   channels 0 ... 7 of sum t
template <class E, int ROWS, int PAIRS, bool MASKED>
RESTORE_DEVICE void finish(const ConvArgs& p, const TileAt& at, const Patch& patch, const uint8_t* known,
                           const float (&sums)[ROWS][2 * PAIRS][4], int warp_row, int warp_column, int lane) {
  const Conv& c = p.c;
  const int g = lane >> 2, t = lane & 3;
  const int group = at.group * 16 * PAIRS;
  RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) RESTORE_UNROLL for (int h = 0; h < 2; ++h) {
    const int row = warp_row * ROWS + o, column = warp_column * 16 + g + 8 * h;
    const int oy = at.y0 + row, ox = at.x0 + column;
    const bool inside = oy < c.row_end && ox < c.out_width;
    Window window{true, 1.f};
    if (MASKED && c.a.valid != nullptr) {
      window = window_at(c, patch, known, row, column);
      if (c.y.valid != nullptr && t == 0 && at.group == 0 && inside) {
        c.y.valid[pixel_at(c.y.at, c.out_width, at.n, oy, ox)] = window.any;
      }
    }
    const int64_t target = inside ? pixel_at(c.y.at, c.out_width, at.n, oy, ox) : 0;
    const int64_t first = inside ? pixel_at(c.first.at, c.out_width, at.n, oy, ox) : 0;
    const int64_t second = inside ? pixel_at(c.second.at, c.out_width, at.n, oy, ox) : 0;
    RESTORE_UNROLL for (int j = 0; j < 2 * PAIRS; j += 4) {  // four sums of 8 channels (two where there are but two)
      uint32_t v[4] = {0, 0, 0, 0};
      RESTORE_UNROLL for (int e = 0; e < 4 && j + e < 2 * PAIRS; ++e) {
        float y[2];
        const int channel = group + (j + e) * 8 + 2 * t;
        const bool there = inside && channel < c.channels;
        RESTORE_UNROLL for (int i = 0; i < 2; ++i) {
          y[i] = window.any ? sums[o][j + e][2 * h + i] * window.ratio : 0.f;
          if (c.bias != nullptr && window.any && channel + i < c.channels) y[i] += c.bias[channel + i];
          y[i] = y[i] > 0.f ? y[i] : y[i] * c.slope;
        }
        add_residual<E>(y, c.first, first, channel, there);
        add_residual<E>(y, c.second, second, channel, there);
        if (c.y.single) {
          float* to = static_cast<float*>(c.y.data) + target * c.y.pixel + channel;
          if (there) to[0] = y[0];
          if (there && channel + 1 < c.channels) to[1] = y[1];
        }
        v[e] = E::pack(y[0], y[1]);
      }
      if (c.y.single) continue;
      RESTORE_UNROLL for (int e = 0; e < 4; e += 2) {  // odd and even lanes trade
        const uint32_t got = shuffle_xor(t & 1 ? v[e] : v[e + 1], 1);
        if (t & 1) v[e] = got;
        else v[e + 1] = got;
      }
      RESTORE_UNROLL for (int e = 0; e < 2; ++e) {  // then the two pairs
        const uint32_t got = shuffle_xor(t & 2 ? v[e] : v[e + 2], 2);
        if (t & 2) v[e] = got;
        else v[e + 2] = got;
      }
      const int channel = group + (j + t) * 8;
      if (!inside || j + t >= 2 * PAIRS || channel >= c.channels) continue;
      uint16_t* to = static_cast<uint16_t*>(c.y.data) + target * c.y.pixel + channel;
      if (p.y_wide && channel + 8 <= c.channels) {
        store_global_16(to, v);
      } else {
        RESTORE_UNROLL for (int i = 0; i < 8; ++i) {
          if (channel + i < c.channels) to[i] = uint16_t(v[i / 2] >> (i % 2 * 16));
        }
      }
    }
  }
}

}  // namespace restore
