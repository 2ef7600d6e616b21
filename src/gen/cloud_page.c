#include "gen/cloud-internal.h"

/* Pages with launch buttons: one link for each template, and on AWS for each region. */

/* Where the image of the machines is offered to everybody. */
static const struct {
    const char *region, *place;
} regions[] = {{"us-east-1", "US East (N. Virginia)"}, {"us-east-2", "US East (Ohio)"},
    {"us-west-1", "US West (N. California)"}, {"us-west-2", "US West (Oregon)"},
    {"ca-central-1", "Canada (Central)"}, {"sa-east-1", "South America (Sao Paulo)"},
    {"eu-west-1", "Europe (Ireland)"}, {"eu-west-2", "Europe (London)"},
    {"eu-west-3", "Europe (Paris)"}, {"eu-central-1", "Europe (Frankfurt)"},
    {"eu-north-1", "Europe (Stockholm)"}, {"ap-northeast-1", "Asia Pacific (Tokyo)"},
    {"ap-northeast-2", "Asia Pacific (Seoul)"}, {"ap-south-1", "Asia Pacific (Mumbai)"},
    {"ap-southeast-1", "Asia Pacific (Singapore)"}, {"ap-southeast-2", "Asia Pacific (Sydney)"}};

static void put_html(struct buf *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            buf_puts(out, "&amp;");
            break;
        case '<':
            buf_puts(out, "&lt;");
            break;
        case '>':
            buf_puts(out, "&gt;");
            break;
        case '"':
            buf_puts(out, "&quot;");
            break;
        default:
            buf_putc(out, *text);
        }
    }
}

/* All but unreserved characters, so that an address is one value of a link. */
static void put_encoded(struct buf *out, const char *text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text; text++) {
        if (strchr(plain, *text))
            buf_putc(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

static void put_template(struct buf *out, const char *url, const char *path)
{
    put_encoded(out, url);
    put_encoded(out, "/");
    put_encoded(out, path);
}

static void put_head(struct buf *out, const char *cloud, const char *version)
{
    buf_printf(out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<title>DC/OS on %s</title>\n<style>\n"
        "body { font: 16px/1.5 sans-serif; margin: 2em; }\n"
        "td, th { padding: .3em 1em .3em 0; text-align: left; }\n"
        "a { background: #1e6fd9; border-radius: 3px; color: #fff; padding: .2em .8em; "
        "text-decoration: none; }\n"
        "</style>\n</head>\n<body>\n<h1>DC/OS ",
        cloud);
    put_html(out, version);
    buf_printf(out, " on %s</h1>\n<table>\n", cloud);
}

static void put_aws(const char *url, const struct cloud_button *buttons, size_t n, struct buf *out)
{
    buf_puts(out, "<tr><th>Region</th>");
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, "<th>");
        put_html(out, buttons[i].label);
        buf_puts(out, "</th>");
    }
    buf_puts(out, "</tr>\n");
    for (size_t r = 0; r < ARRAY_SIZE(regions); r++) {
        buf_printf(out, "<tr><td>%s</td>", regions[r].place);
        for (size_t i = 0; i < n; i++) {
            buf_printf(out,
                "<td><a href=\"https://console.aws.amazon.com/cloudformation/home?region=%s"
                "#/stacks/quickcreate?stackName=DCOS&amp;templateURL=",
                regions[r].region);
            put_template(out, url, buttons[i].path);
            buf_puts(out, "\">Launch Stack</a></td>");
        }
        buf_puts(out, "</tr>\n");
    }
}

static void put_azure(
    const char *url, const struct cloud_button *buttons, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, "<tr><td>");
        put_html(out, buttons[i].label);
        buf_puts(
            out, "</td><td><a href=\"https://portal.azure.com/#create/Microsoft.Template/uri/");
        put_template(out, url, buttons[i].path);
        buf_puts(out, "\">Deploy to Azure</a></td></tr>\n");
    }
}

void cloud_page(enum cloud_kind kind, const char *version, const char *url,
    const struct cloud_button *buttons, size_t n, struct buf *out)
{
    put_head(out, kind == CLOUD_AWS ? "AWS" : "Azure", version);
    if (kind == CLOUD_AWS)
        put_aws(url, buttons, n, out);
    else
        put_azure(url, buttons, n, out);
    buf_puts(out, "</table>\n</body>\n</html>\n");
}
