using System.Numerics;

namespace Recognize.Orleans.Benchmarks;

/// <summary>Counts durations in buckets that are at most 3 % wide, from a microsecond to an hour.</summary>
internal sealed class Histogram
{
    private const int SubBits = 5;
    private const long Longest = 3_600_000_000;

    private readonly long[] counts = new long[IndexOf(Longest) + 1];

    public long Count { get; private set; }

    public void Add(TimeSpan duration)
    {
        counts[IndexOf(Math.Min((long)duration.TotalMicroseconds, Longest))]++;
        Count++;
    }

    public void Add(Histogram other)
    {
        for (var i = 0; i < counts.Length; i++)
        {
            counts[i] += other.counts[i];
        }

        Count += other.Count;
    }

    /// <summary>The duration that so many percent do not exceed.</summary>
    public TimeSpan Percentile(double percent)
    {
        var left = (long)Math.Ceiling(Count * percent / 100);
        var index = 0;
        while (index < counts.Length - 1 && (left -= counts[index]) > 0)
        {
            index++;
        }

        return TimeSpan.FromMicroseconds(MiddleOf(index));
    }

    // Up to 63 a bucket per microsecond; from there 32 buckets for every doubling.
    private static int IndexOf(long value)
    {
        var shift = Math.Max(0, BitOperations.Log2((ulong)Math.Max(value, 1)) - SubBits);
        return shift == 0 ? (int)value : (shift << SubBits) + (int)(value >> shift);
    }

    private static double MiddleOf(int index)
    {
        var shift = Math.Max(0, (index >> SubBits) - 1);
        var first = (long)(index - (shift << SubBits)) << shift;
        return first + (((1L << shift) - 1) / 2.0);
    }
}
