import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/** Serve mongo-java-server's in-memory backend: {@code java -cp 'jars/*' Launcher.java HOST PORT}. */
public class Launcher {
    /** What PyMongo and Django's users run today; the library's own newest is 5.0, wire version 8. */
    private static final MongoVersion SERVER_7 = new MongoVersion() {
        @Override public List<Integer> getVersionArray() { return List.of(7, 0, 0); }
        @Override public int getWireVersion() { return 21; }
    };

    public static void main(String[] arguments) {
        MongoServer server = new MongoServer(new MemoryBackend().version(SERVER_7));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind(arguments[0], Integer.parseInt(arguments[1]));
    }
}
