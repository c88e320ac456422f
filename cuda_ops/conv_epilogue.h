// From sums in registers to pixels in memory: ratio, bias, activation, residuals, narrowing, update of validity.
#pragma once

#include "conv_tile.h"

namespace restore {

// A lane holds two neighbouring channels of each of four sums of 8 channels; four lanes trade theirs by shuffles, so
// that each ends with 8 channels of one sum: 16 bytes side by side.  Trading again gives back what there was.
//
//     lane t before:   channels 2t, 2t + 1 of sums 0 1 2 3          lane t after:   channels 0 ... 7 of sum t
RESTORE_DEVICE void trade(uint32_t (&v)[4], int t) {
  RESTORE_UNROLL for (int e = 0; e < 4; e += 2) {  // odd and even lanes
    const uint32_t got = shuffle_xor(t & 1 ? v[e] : v[e + 1], 1);
    if (t & 1) v[e] = got;
    else v[e + 1] = got;
  }
  RESTORE_UNROLL for (int e = 0; e < 2; ++e) {  // then the two pairs
    const uint32_t got = shuffle_xor(t & 2 ? v[e] : v[e + 2], 2);
    if (t & 2) v[e] = got;
    else v[e + 2] = got;
  }
}

// Two channels of each of four sums, of the residual's pixel at `pixel`, added to y.  `channel`: the first sum's first.
template <class E>
RESTORE_DEVICE void add(float (&y)[4][2], const Residual& r, int64_t pixel, bool wide, int sums, int channel, int channels,
                        int t, bool inside) {
  if (r.data == nullptr) return;
  const uint16_t* from = static_cast<const uint16_t*>(r.data) + pixel * r.pixel + channel;
  uint32_t v[4] = {0, 0, 0, 0};
  if (wide) {  // 16 bytes a lane, as they are stored
    if (inside && t < sums && channel + t * 8 < channels) load_global_16(v, from + t * 8);
    trade(v, t);
  } else {
    RESTORE_UNROLL for (int e = 0; e < 4; ++e) {
      if (inside && e < sums && channel + e * 8 + 2 * t < channels) {
        v[e] = *reinterpret_cast<const uint32_t*>(from + e * 8 + 2 * t);
      }
    }
  }
  RESTORE_UNROLL for (int e = 0; e < 4; ++e) {
    y[e][0] = E::number(uint16_t(v[e])) + r.factor * y[e][0];
    y[e][1] = E::number(uint16_t(v[e] >> 16)) + r.factor * y[e][1];
  }
}

RESTORE_DEVICE void load_bias(float (&bias)[2], const Conv& c, int channel) {
  bias[0] = c.bias != nullptr && channel < c.channels ? c.bias[channel] : 0.f;
  bias[1] = c.bias != nullptr && channel + 1 < c.channels ? c.bias[channel + 1] : 0.f;
}

// One warp: ROWS rows of 16 pixels x 16 * PAIRS channels; lane 4g + t has pixels g and g + 8.
template <class E, int ROWS, int PAIRS, bool MASKED>
RESTORE_DEVICE void finish(const ConvArgs& p, const TileAt& at, const Patch& patch, const uint8_t* known,
                           const float (&sums)[ROWS][2 * PAIRS][4], int warp_row, int warp_column, int lane) {
  const Conv& c = p.c;
  const int g = lane >> 2, t = lane & 3;
  const int group = at.group * 16 * PAIRS;
  constexpr int kTogether = 2 * PAIRS < 4 ? 2 * PAIRS : 4;  // sums that are traded together
  const int y0 = at.y0 + warp_row * ROWS, x0 = at.x0 + warp_column * 16 + g;
  const int64_t target = pixel_at(c.y.at, c.out_width, at.n, y0, x0);
  const int64_t first = pixel_at(c.first.at, c.out_width, at.n, y0, x0);
  const int64_t second = pixel_at(c.second.at, c.out_width, at.n, y0, x0);
  RESTORE_UNROLL for (int o = 0; o < ROWS; ++o) RESTORE_UNROLL for (int h = 0; h < 2; ++h) {
    const bool inside = y0 + o < c.row_end && x0 + 8 * h < c.out_width;
    Window window{true, 1.f};
    if (MASKED && c.a.valid != nullptr) {
      window = window_at(c, patch, known, warp_row * ROWS + o, warp_column * 16 + g + 8 * h);
      if (c.y.valid != nullptr && t == 0 && at.group == 0 && inside) {
        c.y.valid[target + o * c.out_width + 8 * h] = window.any;
      }
    }
    const int step = o * c.out_width + 8 * h;  // pixels from the warp's first one
    const int64_t pixel = (target + step) * c.y.pixel;
    RESTORE_UNROLL for (int j = 0; j < 2 * PAIRS; j += 4) {
      const int channel = group + j * 8;
      float y[4][2] = {};
      RESTORE_UNROLL for (int e = 0; e < kTogether; ++e) {
        float bias[2];
        load_bias(bias, c, channel + e * 8 + 2 * t);
        RESTORE_UNROLL for (int i = 0; i < 2; ++i) {
          const float v = sums[o][j + e][2 * h + i];
          if (MASKED) y[e][i] = window.any ? v * window.ratio + bias[i] : 0.f;
          else y[e][i] = v + bias[i];
          if (y[e][i] < 0.f) y[e][i] *= c.slope;
        }
      }
      add<E>(y, c.first, first + step, p.first_wide, kTogether, channel, c.channels, t, inside);
      add<E>(y, c.second, second + step, p.second_wide, kTogether, channel, c.channels, t, inside);
      if (c.y.single) {
        RESTORE_UNROLL for (int e = 0; e < kTogether; ++e) RESTORE_UNROLL for (int i = 0; i < 2; ++i) {
          const int one = channel + e * 8 + 2 * t + i;
          if (inside && one < c.channels) static_cast<float*>(c.y.data)[pixel + one] = y[e][i];
        }
        continue;
      }
      uint32_t v[4];
      RESTORE_UNROLL for (int e = 0; e < 4; ++e) v[e] = E::pack(y[e][0], y[e][1]);
      trade(v, t);
      const int own = channel + t * 8;
      if (!inside || t >= kTogether || own >= c.channels) continue;
      uint16_t* to = static_cast<uint16_t*>(c.y.data) + pixel + own;
      if (p.y_wide && own + 8 <= c.channels) {
        store_global_16(to, v);
      } else {
        RESTORE_UNROLL for (int i = 0; i < 8; ++i) {
          if (own + i < c.channels) to[i] = uint16_t(v[i / 2] >> (i % 2 * 16));
        }
      }
    }
  }
}

}  // namespace restore
