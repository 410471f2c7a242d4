using System.Buffers;
using System.Globalization;
using System.IO.Compression;
using System.Text.Json;

namespace RelayGate.Core.Tls.Reports;

/// <summary>Writes a report as RFC 8460 §4.4 has it.</summary>
public static class TlsReportJson
{
    public static byte[] Write(TlsReport report, bool indented = false)
    {
        var buffer = new ArrayBufferWriter<byte>(4096);
        using var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = indented });
        json.WriteStartObject();
        json.WriteString("organization-name"u8, report.Organization);
        json.WriteStartObject("date-range"u8);
        json.WriteString("start-datetime"u8, Time(report.Begin));
        json.WriteString("end-datetime"u8, Time(report.End));
        json.WriteEndObject();
        Text(json, "contact-info"u8, report.Contact);
        json.WriteString("report-id"u8, report.Id);
        json.WriteStartArray("policies"u8);
        foreach (TlsReportPolicy policy in report.Policies)
            Write(json, policy);
        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    /// <summary>The report as it is sent (§5.2): gzip.</summary>
    public static byte[] WriteGzip(TlsReport report)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Optimal))
            gzip.Write(Write(report));
        return packed.ToArray();
    }

    private static void Write(Utf8JsonWriter json, TlsReportPolicy found)
    {
        json.WriteStartObject();
        json.WriteStartObject("policy"u8);
        json.WriteString("policy-type"u8, found.Policy.TypeWord);
        List(json, "policy-string"u8, found.Policy.Strings);
        json.WriteString("policy-domain"u8, found.Policy.Domain);
        List(json, "mx-host"u8, found.Policy.MxHosts);
        json.WriteEndObject();
        json.WriteStartObject("summary"u8);
        json.WriteNumber("total-successful-session-count"u8, found.Successes);
        json.WriteNumber("total-failure-session-count"u8, found.Failures);
        json.WriteEndObject();
        if (!found.Details.IsEmpty)
        {
            json.WriteStartArray("failure-details"u8);
            foreach (TlsFailure failure in found.Details)
            {
                json.WriteStartObject();
                json.WriteString("result-type"u8, failure.Result);
                Text(json, "sending-mta-ip"u8, failure.Local);
                Text(json, "receiving-mx-hostname"u8, failure.MxHost);
                Text(json, "receiving-ip"u8, failure.Remote);
                json.WriteNumber("failed-session-count"u8, failure.Count);
                Text(json, "failure-reason-code"u8, failure.Reason); // additional-information would be a URI.
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    private static void Text(Utf8JsonWriter json, ReadOnlySpan<byte> name, string? value)
    {
        if (!string.IsNullOrEmpty(value))
            json.WriteString(name, value);
    }

    private static void List(Utf8JsonWriter json, ReadOnlySpan<byte> name, IReadOnlyCollection<string> values)
    {
        if (values.Count == 0)
            return;
        json.WriteStartArray(name);
        foreach (string value in values)
            json.WriteStringValue(value);
        json.WriteEndArray();
    }

    private static string Time(DateTimeOffset at) => at.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
