import java.io.BufferedReader;
import java.io.FileReader;
import java.io.FileWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.Security;
import java.security.cert.CertificateFactory;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.net.ssl.KeyManagerFactory;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.est.CSRRequestResponse;
import org.bouncycastle.est.ESTAuth;
import org.bouncycastle.est.ESTException;
import org.bouncycastle.est.ESTService;
import org.bouncycastle.est.EnrollmentResponse;
import org.bouncycastle.est.jcajce.ChannelBindingProvider;
import org.bouncycastle.est.jcajce.JcaHttpAuthBuilder;
import org.bouncycastle.est.jcajce.JcaJceUtils;
import org.bouncycastle.est.jcajce.JsseESTServiceBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.jsse.BCSSLSocket;
import org.bouncycastle.jsse.provider.BouncyCastleJsseProvider;
import org.bouncycastle.openssl.PEMKeyPair;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.openssl.jcajce.JcaPEMWriter;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.pkcs.PKCS10CertificationRequestBuilder;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;
import org.bouncycastle.util.Store;

/**
 * Driver puts Bouncy Castle's EST client, org.bouncycastle.est, at the disposal of a test: one process does many
 * cases. Arguments: HOST:PORT and a PEM file of trust anchors. Each line of standard input is a case, fields
 * separated by tabs: the operation, then NAME=VALUE. It is answered by one line: "ok" and fields NAME=BASE64, or
 * "failed" and the reason.
 *
 * <p>Operations: cacerts; csrattrs; enroll, reenroll, serverkeygen; again, which repeats what was answered 202.
 * Values: label; user and password (Basic or Digest, after the challenge); cert, the path of a PEM certificate whose
 * key is beside it; tls, the version; jsse=bc for Bouncy Castle's TLS in place of the JDK's; pop, to link with
 * tls-unique; cn; key, ec or rsa; save, the path without .pem and .key that the result is written to.
 */
public final class Driver {
    private final String server;
    private final Set<TrustAnchor> anchors = new HashSet<>();
    private final Map<String, EnrollmentResponse> pending = new HashMap<>();
    private final Map<String, Asked> asked = new HashMap<>();

    /** Asked is a request and the key in it. */
    private record Asked(KeyPair key, byte[] csr) {}

    private Driver(String server, String anchorFile) throws Exception {
        this.server = server;
        for (X509Certificate cert : certificates(anchorFile)) {
            anchors.add(new TrustAnchor(cert, null));
        }
    }

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        Security.addProvider(new BouncyCastleJsseProvider());
        Driver driver = new Driver(args[0], args[1]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            System.out.println(driver.answer(line));
            System.out.flush();
        }
    }

    private String answer(String line) {
        try {
            String[] fields = line.split("\t");
            Map<String, String> values = new HashMap<>();
            for (int i = 1; i < fields.length; i++) {
                int at = fields[i].indexOf('=');
                values.put(fields[i].substring(0, at), fields[i].substring(at + 1));
            }
            return "ok" + run(fields[0], values);
        } catch (Throwable e) {
            return "failed\t" + reason(e);
        }
    }

    /** reason is the whole chain of causes, and what the server said, on one line. */
    private static String reason(Throwable e) {
        StringBuilder text = new StringBuilder();
        for (Throwable t = e; t != null; t = t.getCause()) {
            text.append(t).append("; ");
            if (t instanceof ESTException est && est.getBody() != null) {
                text.append("status ").append(est.getStatusCode()).append("; ");
                try {
                    text.append(new String(est.getBody().readNBytes(1024), StandardCharsets.UTF_8)).append("; ");
                } catch (IOException gone) {
                    text.append(gone).append("; ");
                }
            }
        }
        return text.toString().replaceAll("\\s+", " ");
    }

    private String run(String operation, Map<String, String> v) throws Exception {
        ESTService service = service(v);
        switch (operation) {
            case "cacerts":
                return holders(service.getCACerts().getCertificateStore());
            case "csrattrs":
                CSRRequestResponse response = service.getCSRAttributes();
                return response.hasAttributesResponse() ? field("attrs", response.getAttributesResponse().getEncoded()) : "";
            case "again":
                return enrolled(service.simpleEnroll(pending.remove(v.get("cn"))), asked.get(v.get("cn")), v);
            default:
                return enroll(service, operation, v);
        }
    }

    private String enroll(ESTService service, String operation, Map<String, String> v) throws Exception {
        boolean rsa = "rsa".equals(v.get("key"));
        KeyPairGenerator generator = KeyPairGenerator.getInstance(rsa ? "RSA" : "EC", "BC");
        if (rsa) {
            generator.initialize(2048);
        } else {
            generator.initialize(new ECGenParameterSpec("P-256"));
        }
        KeyPair key = generator.generateKeyPair();
        PKCS10CertificationRequestBuilder builder =
                new JcaPKCS10CertificationRequestBuilder(new X500Name("CN=" + v.get("cn")), key.getPublic());
        ContentSigner signer = new JcaContentSignerBuilder(rsa ? "SHA256withRSA" : "SHA256withECDSA").setProvider("BC").build(key.getPrivate());
        PKCS10CertificationRequest csr = builder.build(signer);
        Asked request = new Asked(key, csr.getEncoded());
        boolean pop = v.containsKey("pop");
        switch (operation) {
            case "enroll":
            case "reenroll":
                boolean renewal = operation.equals("reenroll");
                return enrolled(pop
                        ? service.simpleEnrollPoP(renewal, builder, signer, auth(v))
                        : service.simpleEnroll(renewal, csr, auth(v)), request, v);
            case "serverkeygen":
                return enrolled(pop
                        ? service.simpleEnrollPopWithServersideCreation(builder, signer, auth(v))
                        : service.simpleEnrollWithServersideCreation(csr, auth(v)), request, v);
            default:
                throw new IllegalArgumentException("no operation " + operation);
        }
    }

    /** enrolled says what came back: certificates, the request, and the server's key if there is one. */
    private String enrolled(EnrollmentResponse response, Asked request, Map<String, String> v) throws Exception {
        if (!response.isCompleted()) {
            pending.put(v.get("cn"), response);
            asked.put(v.get("cn"), request);
            return "\tpending=" + Base64.getEncoder().encodeToString(Long.toString(response.getNotBefore()).getBytes());
        }
        String out = holders(response.getStore()) + field("csr", request.csr());
        PrivateKeyInfo made = response.getPrivateKeyInfo();
        if (made != null) {
            out += field("key", made.getEncoded());
        }
        String path = v.get("save");
        if (path != null) {
            try (JcaPEMWriter pem = new JcaPEMWriter(new FileWriter(path + ".pem"))) {
                for (Object cert : response.getStore().getMatches(null)) {
                    pem.writeObject(cert);
                }
            }
            try (JcaPEMWriter pem = new JcaPEMWriter(new FileWriter(path + ".key"))) {
                pem.writeObject(request.key().getPrivate());
            }
        }
        return out;
    }

    private ESTService service(Map<String, String> v) throws Exception {
        int colon = server.lastIndexOf(':');
        JsseESTServiceBuilder builder = new JsseESTServiceBuilder(
                server.substring(0, colon), Integer.parseInt(server.substring(colon + 1)), JcaJceUtils.getCertPathTrustManager(anchors, null)[0]);
        builder.withTimeout(30000);
        if ("bc".equals(v.get("jsse"))) {
            builder.withProvider("BCJSSE");
            builder.withChannelBindingProvider(new Binding());
        }
        if (v.containsKey("tls")) {
            builder.withTLSVersion(v.get("tls"));
        }
        if (v.containsKey("label")) {
            builder.withLabel(v.get("label"));
        }
        if (v.containsKey("cert")) {
            KeyStore store = KeyStore.getInstance("PKCS12");
            store.load(null, null);
            String path = v.get("cert");
            List<X509Certificate> chain = certificates(path);
            store.setKeyEntry("client", key(path.replaceAll("\\.pem$", ".key")), new char[0], chain.toArray(new X509Certificate[0]));
            // The JDK's factory finds no key for the algorithms that BCJSSE names in TLS 1.3.
            KeyManagerFactory factory = "bc".equals(v.get("jsse"))
                    ? KeyManagerFactory.getInstance("PKIX", "BCJSSE")
                    : KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
            factory.init(store, new char[0]);
            builder.withKeyManagers(factory.getKeyManagers());
        }
        return builder.build();
    }

    /** Binding gets tls-unique (RFC 5929, Section 3) out of Bouncy Castle's own TLS. */
    private static final class Binding implements ChannelBindingProvider {
        @Override
        public boolean canAccessChannelBinding(Socket socket) {
            return socket instanceof BCSSLSocket;
        }

        @Override
        public byte[] getChannelBinding(Socket socket, String type) {
            return ((BCSSLSocket) socket).getConnection().getChannelBinding(type);
        }
    }

    private static ESTAuth auth(Map<String, String> v) throws Exception {
        if (!v.containsKey("user")) {
            return null;
        }
        return new JcaHttpAuthBuilder(v.get("user"), v.get("password").toCharArray())
                .setNonceGenerator(new SecureRandom()).setProvider("BC").build();
    }

    private static List<X509Certificate> certificates(String path) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        List<X509Certificate> certs = new ArrayList<>();
        try (java.io.FileInputStream in = new java.io.FileInputStream(path)) {
            for (java.security.cert.Certificate cert : factory.generateCertificates(in)) {
                certs.add((X509Certificate) cert);
            }
        }
        return certs;
    }

    private static PrivateKey key(String path) throws Exception {
        try (PEMParser pem = new PEMParser(new FileReader(path))) {
            Object read = pem.readObject();
            PrivateKeyInfo info = read instanceof PEMKeyPair pair ? pair.getPrivateKeyInfo() : (PrivateKeyInfo) read;
            return new JcaPEMKeyConverter().getPrivateKey(info);
        }
    }

    private static String holders(Store<X509CertificateHolder> store) throws IOException {
        Collection<X509CertificateHolder> all = store.getMatches(null);
        StringBuilder out = new StringBuilder();
        for (X509CertificateHolder cert : all) {
            out.append(field("cert", cert.getEncoded()));
        }
        return out.toString();
    }

    private static String field(String name, byte[] value) {
        return "\t" + name + "=" + Base64.getEncoder().encodeToString(value);
    }
}
