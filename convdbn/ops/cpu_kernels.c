/* The operations that take most sampling time on a CPU: float32, one pass over memory each.
 *
 * Every function has a reference in PyTorch (reference.py), and the tests compare the two. Vectors of 16 are an
 * extension of the compiler (GCC, Clang), which translates them for the processor. Each group of work has a size and
 * a random stream that depend only on the shape, so the number of threads changes no result.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16
#define DRAWS_PER_GROUP 2048
#define BLOCKS_IN_STRIP 768
#define INLINE static inline __attribute__((always_inline))
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES)));
typedef struct { uvec s[4]; } stream;

INLINE vec load(const float *p) { vec x; memcpy(&x, p, sizeof x); return x; }
INLINE void store(float *p, vec x) { memcpy(p, &x, sizeof x); }
INLINE vec choose(ivec mask, vec yes, vec no) { return (vec)(((ivec)yes & mask) | ((ivec)no & ~mask)); }
INLINE vec larger(vec a, vec b) { return choose(b > a, b, a); }
INLINE long least(long a, long b) { return a < b ? a : b; }

/* exp(x) for x <= 40, relative error under 2e-7, exp(-87) from there down; NaN stays NaN. Cephes' polynomial. */
INLINE vec exponential(vec x) {
    x = larger(x, (vec){} - 87.0f);
    vec shifted = x * 1.44269504088896341f + 12582912.0f; /* 1.5 * 2^23: its last bits hold the rounded value */
    vec whole = shifted - 12582912.0f;
    vec r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    vec y = r * 1.9875691500e-4f + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    return (vec)((ivec)y + (((ivec)shifted - 0x4B400000) << 23));
}

/* xoshiro128++ (Blackman and Vigna 2021) in every lane, seeded by splitmix64 from the run's seed and the group. */
INLINE stream seeded(uint64_t seed, uint64_t group) {
    stream r;
    uint64_t words[2 * LANES], base = seed + group * 2 * LANES * 0x9E3779B97F4A7C15u;
    for (int i = 0; i < 2 * LANES; i++) {
        uint64_t z = base + (i + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        words[i] = z ^ (z >> 31);
    }
    memcpy(&r, words, sizeof r);
    return r;
}
INLINE uvec rotated(uvec x, int k) { return (x << k) | (x >> (32 - k)); }
INLINE vec uniform(stream *r) {
    uvec *s = r->s, result = rotated(s[0] + s[3], 7) + s[0], t = s[1] << 9;
    s[2] ^= s[0], s[3] ^= s[1], s[1] ^= s[2], s[0] ^= s[3], s[2] ^= t, s[3] = rotated(s[3], 11);
    return __builtin_convertvector((ivec)(result >> 8), vec) * 0x1p-24f;
}

/* The first n floats at p; the rest is whatever follows them (`last` false) or zero. */
INLINE vec load_some(const float *p, long n, int last) {
    vec x = {};
    if (!last || n >= LANES) return load(p);
    if (n > 0) memcpy(&x, p, 4 * n);
    return x;
}
/* Store the first n floats; with `last` false, more may be written after them, for the next store to overwrite. */
INLINE void store_some(float *p, vec x, long n, int last) {
    if (!last || n >= LANES) store(p, x);
    else if (n > 0) memcpy(p, &x, 4 * n);
}

/* Bernoulli units: p = sigmoid(field + bias) and, unless `sample` is NULL, a draw of it. Arrays are `rows` x
 * `length`; bias[row % units] is for a whole row (maps), or bias[column] for a column if `units` is 0 (dense layers).
 */
void bernoulli(const float *field, const float *bias, float *mean, float *sample, long rows, long length, long units,
               uint64_t seed, int threads) {
    long together = DRAWS_PER_GROUP / length + 1, groups = (rows + together - 1) / together;
#pragma omp parallel for num_threads(threads)
    for (long group = 0; group < groups; group++) {
        stream random = seeded(seed, group);
        for (long row = group * together; row < least(rows, (group + 1) * together); row++) {
            vec own = units ? (vec){} + bias[row % units] : (vec){};
            for (long i = 0; i < length; i += LANES) {
                long at = row * length + i;
                long left = length - i;
                vec x = load_some(field + at, left, 1) + (units ? own : load_some(bias + i, left, 1));
                vec e = exponential(choose(x > 0, -x, x));
                vec p = choose(x > 0, (vec){} + 1.0f, e) / (1.0f + e);
                store_some(mean + at, p, left, 1);
                if (sample) store_some(sample + at, choose(uniform(&random) < p, (vec){} + 1.0f, (vec){}), left, 1);
            }
        }
    }
}

#define EVEN ((ivec){0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30})
#define FIRST ((ivec){0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23})
#ifdef __clang__
#define PICK(a, b, indices) picked(a, b, indices)
INLINE vec picked(vec a, vec b, ivec indices) {
    float both[2 * LANES], out[LANES];
    store(both, a), store(both + LANES, b);
    for (int i = 0; i < LANES; i++) out[i] = both[indices[i]];
    return load(out);
}
#else
#define PICK(a, b, indices) __builtin_shuffle(a, b, indices)
#endif

/* One row of a map, `width` blocks of c units, to the rows of c planes (plus the bias), and back. */
INLINE void to_planes(const float *row, float *planes, float bias, long width, long plane, int c, int last) {
    if (c != 2) {
        for (long x = 0; x < width; x++)
            for (int j = 0; j < c; j++) planes[j * plane + x] = row[x * c + j] + bias;
        return;
    }
    for (long x = 0; x < width; x += LANES) {
        long left = 2 * (width - x);
        vec a = load_some(row + 2 * x, left, last), b = load_some(row + 2 * x + LANES, left - LANES, last);
        store(planes + x, PICK(a, b, EVEN) + bias);
        store(planes + plane + x, PICK(a, b, EVEN + 1) + bias);
    }
}
INLINE void from_planes(const float *planes, float *row, long width, long plane, int c, int last) {
    if (c != 2) {
        for (long x = 0; x < width; x++)
            for (int j = 0; j < c; j++) row[x * c + j] = planes[j * plane + x];
        return;
    }
    for (long x = 0; x < width; x += LANES) {
        long left = 2 * (width - x);
        vec a = load(planes + x), b = load(planes + plane + x);
        store_some(row + 2 * x, PICK(a, b, FIRST), left, last);
        store_some(row + 2 * x + LANES, PICK(a, b, FIRST + 8), left - LANES, last);
    }
}

/* The probability that a member of a block is on, for `count` blocks. */
INLINE void any_on(const float *field, float *pool, long count, long plane, int members) {
    for (long x = 0; x < count; x += LANES) {
        vec total = {};
        for (int m = 0; m < members; m++) {
            vec f = load(field + m * plane + x);
            /* From 40 up the result is 1 to the last bit; f - f is 0, or NaN for infinity, as in the softmax. */
            total += exponential(choose(f > 40.0f, (vec){} + 40.0f, f)) + (f - f);
        }
        store_some(pool + x, total / (1.0f + total), count - x, 1);
    }
}

/* The softmax of `count` blocks over their members and "all off", in place, and one draw of each block. */
INLINE void softmax(float *p, float *draw, long count, long plane, int members, stream *random) {
    for (long x = 0; x < count; x += LANES) {
        vec peak = {}, total, below = {};
        for (int m = 0; m < members; m++) peak = larger(peak, load(p + m * plane + x));
        total = exponential(-peak);
        for (int m = 0; m < members; m++) {
            vec e = exponential(load(p + m * plane + x) - peak);
            store(p + m * plane + x, e);
            total += e;
        }
        vec scale = 1.0f / total, u = draw ? uniform(random) : (vec){};
        for (int m = 0; m < members; m++) {
            vec mean = load(p + m * plane + x) * scale, edge = below + mean;
            store(p + m * plane + x, mean);
            /* On where the uniform falls between the two edges; "all off" is what remains above the last. */
            if (draw) store(draw + m * plane + x, choose((u >= below) & (u < edge), (vec){} + 1.0f, (vec){}));
            below = edge;
        }
    }
}

/* Rows `first` to `end` of all maps, one below the other. A constant `c` lets the compiler unroll the members. */
INLINE void strip(const float *field, const float *bias, float *mean, float *sample, float *pool, float *p, float *draw,
                  long first, long end, long units, long height, long width, long plane, int c, stream *random) {
    long spill = (width + LANES) / LANES * LANES * 2;
    for (long row = first; row < end; row++) {
        long place = (row - first) / c * width + row % c * c * plane, at = row * width * c;
        float own = bias[row / (height * c) % units];
        to_planes(field + at, p + place, own, width, plane, c, at + spill > end * width * c);
    }
    long count = (end - first) / c * width;
    if (pool) {
        any_on(p, pool + first / c * width, count, plane, c * c);
        return;
    }
    softmax(p, draw, count, plane, c * c, random);
    for (long row = first; row < end; row++) {
        long place = (row - first) / c * width + row % c * c * plane, at = row * width * c;
        int last = at + spill > end * width * c;
        from_planes(p + place, mean + at, width, plane, c, last);
        if (draw) from_planes(draw + place, sample + at, width, plane, c, last);
    }
}

/* Probabilistic max-pooling: at most one unit of each c x c block is on; `height` and `width` count blocks. The
 * result is the means, with or without a sample, or only the means of the pooling units. */
void block_softmax(const float *field, const float *bias, float *mean, float *sample, float *pool, long maps,
                   long units, long height, long width, int c, uint64_t seed, int threads) {
    long total = maps * height, rows = BLOCKS_IN_STRIP / width + 1, plane = (rows * width / LANES + 2) * LANES;
#pragma omp parallel num_threads(threads)
    {
        float *p = calloc(2 * plane * c * c, sizeof *p), *draw = sample ? p + plane * c * c : NULL;
#pragma omp for
        for (long start = 0; start < total; start += rows) {
            stream random = seeded(seed, start);
            long first = start * c, end = least(total, start + rows) * c;
#define STRIP(c) \
    strip(field, bias, mean, sample, pool, p, draw, first, end, units, height, width, plane, c, &random)
            if (c == 2) STRIP(2);
            else STRIP(c);
        }
        free(p);
    }
}

/* Add columns, (images) x (channels * kh * kw) x (positions), to their places in the pictures. This is the second
 * half of a transposed convolution; a matrix product is the first. */
void fold_columns(const float *columns, float *pictures, long images, long channels, long height, long width, long kh,
                  long kw, int threads) {
    long across = width - kw + 1, down = height - kh + 1, padded = width + LANES, positions = down * across;
    ivec lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const float *end = columns + images * channels * kh * kw * positions;
#pragma omp parallel num_threads(threads)
    {
        float *sum = malloc(height * padded * sizeof *sum);
#pragma omp for
        for (long map = 0; map < images * channels; map++) {
            memset(sum, 0, height * padded * sizeof *sum);
            /* Filter columns outermost: a sum is not loaded again before its last store has left the pipeline. */
            for (long j = 0; j < kw; j++)
                for (long i = 0; i < kh; i++) {
                    const float *from = columns + ((map * kh + i) * kw + j) * positions;
                    float *to = sum + i * padded + j;
                    for (long y = 0; y < down; y++, from += across, to += padded)
                        for (long k = 0; k < across; k += LANES) {
                            vec x = load_some(from + k, across - k, end - from - k < LANES);
                            x = choose(lane < (int)(across - k), x, (vec){});
                            store(to + k, load(to + k) + x);
                        }
                }
            float *picture = pictures + map * height * width;
            for (long y = 0; y < height; y++) memcpy(picture + y * width, sum + y * padded, width * sizeof *sum);
        }
        free(sum);
    }
}
