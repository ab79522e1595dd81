// What the bits of an element mean: ordered integers, magnitude buckets, and 16-bit floats to and from float.
#pragma once

#include <cstring>
#include <type_traits>

#include "core.h"

namespace incnnr {

enum class Signedness { none, twos_complement, sign_bit };

// WordType: unsigned integer of the element's width. Floats have n_mantissa_bits; the rest below the sign is exponent.
template <class WordType, Signedness s, unsigned mantissa_bits = 0>
struct Number {
    using Word = WordType;
    static constexpr unsigned n_bits = 8 * sizeof(Word);
    static constexpr bool is_float = s == Signedness::sign_bit;
    static constexpr unsigned n_mantissa_bits = mantissa_bits;
    static constexpr unsigned n_exponent_bits = is_float ? n_bits - 1 - mantissa_bits : 0;
    static constexpr Word sign_bit = static_cast<Word>(Word{1} << (n_bits - 1));

    static Word load(const uint8_t* p, size_t i) {
        Word word;
        std::memcpy(&word, p + i * sizeof(Word), sizeof(Word));
        return swap_if_big_endian(word);
    }

    static void store(uint8_t* p, size_t i, Word word) {
        word = swap_if_big_endian(word);
        std::memcpy(p + i * sizeof(Word), &word, sizeof(Word));
    }

    // A bijection onto the unsigned integers that keeps the order of the numbers.
    static Word ordered(Word bits) {
        if constexpr (s == Signedness::none) return bits;
        if constexpr (s == Signedness::twos_complement) return bits ^ sign_bit;
        return bits & sign_bit ? static_cast<Word>(~bits) : static_cast<Word>(bits ^ sign_bit);
    }

    static Word from_ordered(Word rank) {
        if constexpr (s == Signedness::none) return rank;
        if constexpr (s == Signedness::twos_complement) return rank ^ sign_bit;
        return rank & sign_bit ? static_cast<Word>(rank ^ sign_bit) : static_cast<Word>(~rank);
    }

    static int64_t difference(Word to, Word from) {
        using Signed = std::make_signed_t<Word>;
        return static_cast<Signed>(static_cast<Word>(ordered(to) - ordered(from)));
    }

    static Word displaced(Word from, int64_t difference) {
        return from_ordered(static_cast<Word>(ordered(from) + static_cast<Word>(difference)));
    }

    // Order of magnitude, 0..63: the exponent for floats (2^-48 and below is 0), the bit length for integers.
    static unsigned bucket(Word bits) {
        if constexpr (is_float) {
            constexpr int bias = (1 << (n_exponent_bits - 1)) - 1;
            constexpr int lowest = bias > 48 ? bias - 48 : 0;
            const int exponent = static_cast<int>((bits & static_cast<Word>(~sign_bit)) >> n_mantissa_bits) - lowest;
            return static_cast<unsigned>(exponent < 0 ? 0 : exponent > 63 ? 63 : exponent);
        } else {
            Word magnitude = bits;
            if (s == Signedness::twos_complement && (bits & sign_bit)) magnitude = static_cast<Word>(~bits);
            const unsigned length = magnitude == 0 ? 0 : 64 - static_cast<unsigned>(__builtin_clzll(magnitude));
            return length > 63 ? 63 : length;
        }
    }

private:
    static Word swap_if_big_endian(Word word) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        if constexpr (sizeof(Word) == 2) return __builtin_bswap16(word);
        if constexpr (sizeof(Word) == 4) return __builtin_bswap32(word);
        if constexpr (sizeof(Word) == 8) return __builtin_bswap64(word);
#endif
        return word;
    }
};

template <Kind> struct NumberOf;
template <> struct NumberOf<Kind::uint8> : Number<uint8_t, Signedness::none> {};
template <> struct NumberOf<Kind::uint16> : Number<uint16_t, Signedness::none> {};
template <> struct NumberOf<Kind::uint32> : Number<uint32_t, Signedness::none> {};
template <> struct NumberOf<Kind::uint64> : Number<uint64_t, Signedness::none> {};
template <> struct NumberOf<Kind::int8> : Number<uint8_t, Signedness::twos_complement> {};
template <> struct NumberOf<Kind::int16> : Number<uint16_t, Signedness::twos_complement> {};
template <> struct NumberOf<Kind::int32> : Number<uint32_t, Signedness::twos_complement> {};
template <> struct NumberOf<Kind::int64> : Number<uint64_t, Signedness::twos_complement> {};
template <> struct NumberOf<Kind::float8_e4m3> : Number<uint8_t, Signedness::sign_bit, 3> {};
template <> struct NumberOf<Kind::float8_e5m2> : Number<uint8_t, Signedness::sign_bit, 2> {};
template <> struct NumberOf<Kind::float16> : Number<uint16_t, Signedness::sign_bit, 10> {};
template <> struct NumberOf<Kind::bfloat16> : Number<uint16_t, Signedness::sign_bit, 7> {};
template <> struct NumberOf<Kind::float32> : Number<uint32_t, Signedness::sign_bit, 23> {};
template <> struct NumberOf<Kind::float64> : Number<uint64_t, Signedness::sign_bit, 52> {};

// Calls f(std::integral_constant<Kind, kind>{}).
template <class F>
auto with_kind(Kind kind, F&& f) {
    switch (kind) {
        case Kind::uint8: return f(std::integral_constant<Kind, Kind::uint8>{});
        case Kind::uint16: return f(std::integral_constant<Kind, Kind::uint16>{});
        case Kind::uint32: return f(std::integral_constant<Kind, Kind::uint32>{});
        case Kind::uint64: return f(std::integral_constant<Kind, Kind::uint64>{});
        case Kind::int8: return f(std::integral_constant<Kind, Kind::int8>{});
        case Kind::int16: return f(std::integral_constant<Kind, Kind::int16>{});
        case Kind::int32: return f(std::integral_constant<Kind, Kind::int32>{});
        case Kind::int64: return f(std::integral_constant<Kind, Kind::int64>{});
        case Kind::float8_e4m3: return f(std::integral_constant<Kind, Kind::float8_e4m3>{});
        case Kind::float8_e5m2: return f(std::integral_constant<Kind, Kind::float8_e5m2>{});
        case Kind::float16: return f(std::integral_constant<Kind, Kind::float16>{});
        case Kind::bfloat16: return f(std::integral_constant<Kind, Kind::bfloat16>{});
        case Kind::float32: return f(std::integral_constant<Kind, Kind::float32>{});
        case Kind::float64: break;
    }
    return f(std::integral_constant<Kind, Kind::float64>{});
}

template <class To, class From>
inline To bit_cast(const From& from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

// Values in the type that reconstruction is defined in: float for all but float64. Conversion to a narrower type rounds
// once, to nearest even. Machines disagree on the bits of a computed NaN: here it is always the same one.
template <Kind> struct RealOf;
template <> struct RealOf<Kind::float64> {
    using Real = double;
    static Real value(uint64_t bits) { return bit_cast<double>(bits); }
    static uint64_t bits(Real value) { return value == value ? bit_cast<uint64_t>(value) : 0x7ff8000000000000u; }
};
template <> struct RealOf<Kind::float32> {
    using Real = float;
    static Real value(uint32_t bits) { return bit_cast<float>(bits); }
    static uint32_t bits(Real value) { return value == value ? bit_cast<uint32_t>(value) : 0x7fc00000u; }
};
template <> struct RealOf<Kind::bfloat16> {
    using Real = float;
    static Real value(uint16_t bits) { return bit_cast<float>(uint32_t{bits} << 16); }
    static uint16_t bits(Real real) {
        const auto word = bit_cast<uint32_t>(real);
        if (real != real) return 0x7fc0;
        return static_cast<uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16);
    }
};
template <> struct RealOf<Kind::float16> {
    using Real = float;
    static Real value(uint16_t half) {
        const uint32_t sign = uint32_t{half & 0x8000u} << 16;
        const uint32_t magnitude = half & 0x7fffu;
        if (magnitude >= 0x7c00) return bit_cast<float>(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
        if (magnitude >= 0x0400) return bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
        const float subnormal = static_cast<float>(magnitude) * 0x1p-24f;
        return bit_cast<float>(sign | bit_cast<uint32_t>(subnormal));
    }
    static uint16_t bits(Real real) {
        const auto word = bit_cast<uint32_t>(real);
        const uint32_t sign = word >> 16 & 0x8000;
        const uint32_t magnitude = word & 0x7fffffff;
        if (real != real) return 0x7e00;
        if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // 65520 and above round to infinity
        if (magnitude >= 0x38800000) {
            const uint32_t rebased = magnitude - (112u << 23);
            return static_cast<uint16_t>(sign | (rebased + 0xfff + (rebased >> 13 & 1)) >> 13);
        }
        // Adding 1/2 leaves the subnormal's 24 bits at the bottom of the mantissa, rounded to nearest even.
        const float shifted = bit_cast<float>(magnitude) + 0.5f;
        return static_cast<uint16_t>(sign | (bit_cast<uint32_t>(shifted) - 0x3f000000));
    }
};

constexpr bool has_real(Kind kind) {
    return kind == Kind::float16 || kind == Kind::bfloat16 || kind == Kind::float32 || kind == Kind::float64;
}

}  // namespace incnnr
